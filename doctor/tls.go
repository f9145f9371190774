package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/entraredis/entraredis"
)

// expiresSoon is when a certificate's end is worth a word. Azure replaces its
// own long before.
const expiresSoon = 14 * 24 * time.Hour

func checkTLS(ctx context.Context, x *exam, r *Result) {
	begin := time.Now()
	conn, err := x.dialTLS(ctx, x.addr())
	if err != nil {
		r.say("no TLS with %s as %q", x.addr(), x.serverName())
		r.fail(x.tlsFinding(err, x.host))
		return
	}
	defer conn.Close()
	state := conn.ConnectionState()
	leaf := state.PeerCertificates[0]
	x.redactor.learn(leaf.DNSNames...)
	r.fact("version", "%s", tls.VersionName(state.Version))
	r.fact("cipher suite", "%s", tls.CipherSuiteName(state.CipherSuite))
	r.fact("verified name", "%s", x.serverName())
	r.fact("names in the certificate", "%s", strings.Join(leaf.DNSNames, ", "))
	for i, c := range state.VerifiedChains[0] {
		r.fact(fmt.Sprintf("chain %d", i), "%s, until %s", nameOf(c), day(c.NotAfter))
	}
	r.say("%s, certificate for %s until %s (%s)", tls.VersionName(state.Version), x.serverName(), day(leaf.NotAfter), millis(time.Since(begin)))
	if left := time.Until(leaf.NotAfter); left < expiresSoon {
		r.warn(Finding{Kind: entraredis.KindTLS, Anchor: "certificate-expired",
			Observed: fmt.Sprintf("the certificate ends at %s", stamp(leaf.NotAfter)),
			Means:    "it ends within two weeks; Azure replaces its own earlier, so this may be the certificate of something in between",
			Remedy:   "Look who issued it: openssl s_client -connect <host>:<port> -servername <host>. If it is the cache's own, Azure support can say why it has not been replaced."})
	}
}

// dialTLS connects, and shakes hands as the Dialer would. The error of the
// second step is a *handshakeError.
func (x *exam) dialTLS(ctx context.Context, addr string) (*tls.Conn, error) {
	transport, err := x.dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if x.TLSConfig != nil {
		config = x.TLSConfig.Clone()
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	config.ServerName = x.serverName()
	conn := tls.Client(transport, config)
	ctx, cancel := context.WithTimeout(ctx, x.ConnectTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		transport.Close()
		return nil, &handshakeError{err}
	}
	return conn, nil
}

type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// tlsFinding explains an error of dialTLS. host is what was dialed.
func (x *exam) tlsFinding(err error, host string) Finding {
	if _, ok := errors.AsType[*handshakeError](err); !ok {
		return x.tcpFinding(err)
	}
	f := Finding{Kind: entraredis.KindTLS, Observed: err.Error(), Means: "the handshake failed"}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		x.certificateFinding(&f, e, host)
		return f
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		f.Anchor, f.Means = "plain-port", "what answers does not speak TLS: this is a port without it"
		f.Remedy = "Use the TLS port: 6380, or 10000 for Azure Managed Redis. Entra tokens are accepted over nothing else."
		if x.product != nil {
			f.Remedy = fmt.Sprintf("Use the TLS port of %s, %s. Entra tokens are accepted over nothing else.", x.product.name, x.product.port)
		}
		return f
	}
	switch networkCause(err) {
	case timedOut:
		f.Kind, f.Anchor = entraredis.KindUnreachable, "tls-timeout"
		f.Means = "the connection was taken and then nothing came: a firewall that lets SYN pass and nothing else, a wrong port, or a cache under load"
		f.Remedy = "Check with openssl s_client -connect <host>:<port>. Look for a firewall that inspects TLS, and at the cache's Server Load metric."
	case wasReset, ended:
		f.Kind, f.Anchor = entraredis.KindUnreachable, "tls-reset"
		f.Means = "the other side ended the connection in the midst of the handshake: a firewall that looks at the host name in it, or a cache in the midst of a failover"
		f.Remedy = "Try again in a minute. If it stays so, have the firewall or TLS-inspecting proxy let this host name pass untouched."
	default:
		if text := err.Error(); strings.Contains(text, "protocol version") || strings.Contains(text, "handshake failure") {
			f.Anchor, f.Means = "tls-version", "no TLS version or cipher suite is common to both sides"
			f.Remedy = "Azure takes TLS 1.2 and 1.3: look for a proxy in between that speaks an older one, and allow TLS 1.3 here."
		}
	}
	return f
}

// certificateFinding explains a certificate that does not verify.
func (x *exam) certificateFinding(f *Finding, e *tls.CertificateVerificationError, host string) {
	leaf := e.UnverifiedCertificates[0]
	names := strings.Join(leaf.DNSNames, ", ")
	x.redactor.learn(leaf.DNSNames...)
	f.Observed = fmt.Sprintf("%v; the certificate is for %s, issued by %q, valid from %s to %s", e.Err, orNone(names), leaf.Issuer.CommonName, day(leaf.NotBefore), day(leaf.NotAfter))
	var invalid x509.CertificateInvalidError
	now := time.Now()
	switch {
	case isA[x509.HostnameError](e.Err):
		f.Kind = entraredis.KindTLSName
		f.Means = fmt.Sprintf("the certificate does not hold %q: the name is an alias, or something else answers in the cache's place", x.serverName())
		f.Remedy = "Connect by the cache's own host name, shown on its Overview page. If an alias is meant, give the real name to verify: --server-name here, Dialer.ServerName in a program."
		if net.ParseIP(host) != nil && x.ServerName == "" {
			f.Anchor = "node-address"
			f.Means = "an address was given; the certificates of Azure hold host names only, also where a cluster announces its nodes by address"
			f.Remedy = "Give the cache's host name, or with an address the name to verify: --server-name <name>.redis.cache.windows.net, Dialer.ServerName in a program."
		}
	case isA[x509.UnknownAuthorityError](e.Err):
		f.Anchor = "unknown-authority"
		f.Means = fmt.Sprintf("%q signed the certificate and is not trusted here: this machine's CA certificates are out of date, or a proxy inspects TLS", leaf.Issuer.CommonName)
		f.Remedy = "Update the CA certificates (package ca-certificates; containers built from scratch have none). Behind an inspecting proxy, exempt the cache from it; a private CA is trusted with --cache-ca-file."
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired && now.Before(leaf.NotBefore):
		f.Kind, f.Anchor = entraredis.KindClockSkew, "certificate-not-yet-valid"
		f.Means = fmt.Sprintf("the certificate begins at %s and the clock of this machine says %s: most likely the clock is behind", stamp(leaf.NotBefore), stamp(now))
		f.Remedy = "Set the clock of this machine right (timedatectl, chronyc tracking, w32tm /query /status). If it is right, this is not the cache's certificate: look who answers."
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		f.Anchor = "certificate-expired"
		f.Means = fmt.Sprintf("the certificate ended at %s and the clock of this machine says %s", stamp(leaf.NotAfter), stamp(now))
		f.Remedy = "If the clock is wrong, synchronise it (timedatectl, chronyc tracking). Otherwise look who answers: Azure replaces its certificates before they end, so this is probably not the cache itself."
	default:
		f.Means = "the certificate does not verify"
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func nameOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

func orNone(s string) string {
	if s == "" {
		return "no host name"
	}
	return s
}

func day(t time.Time) string   { return t.UTC().Format(time.DateOnly) }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
