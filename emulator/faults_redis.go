package emulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// What a [Fault] for redis-tls can present instead of the good certificate.
const (
	CertificateExpired   = "expired"    // it ended yesterday
	CertificateFuture    = "future"     // it begins tomorrow
	CertificateOtherName = "other-name" // it is for another host
	CertificateUnknownCA = "unknown-ca" // it is signed by a CA nobody trusts
)

// otherHost is the name in a certificate for another host.
const otherHost = "other.redis.cache.windows.net"

// claims changes the claims of a token that is about to be signed.
func (f *faults) claims(claims map[string]any) {
	s := f.take("claims")
	if s == nil {
		return
	}
	for name, value := range s.Claims {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
}

// command is the front's hook before each command.
func (f *faults) command(ctx context.Context, args [][]byte) (reply []byte, reset bool) {
	s := f.takeFor("redis-command", func(s *setFault) bool {
		for i, w := range strings.Fields(s.Command) {
			if i >= len(args) || !strings.EqualFold(string(args[i]), w) {
				return false
			}
		}
		return true
	})
	switch {
	case s == nil:
		return nil, false
	case !f.wait(ctx, s) || s.Reset:
		return nil, true
	case s.Reply != "":
		return []byte(s.Reply), false
	case s.Body != "":
		return []byte("-" + s.Body + "\r\n"), false
	}
	return nil, false
}

// handshake returns the TLS side of Redis: config, but for the faults set for
// it when a client says hello.
func (f *faults) handshake(config *tls.Config, ca *authority, host string) *tls.Config {
	out := config.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s := f.take("redis-tls")
		if s == nil {
			return nil, nil // config itself
		}
		if !f.wait(hello.Context(), s) || s.Reset {
			reset(hello.Conn)
			return nil, errReset
		}
		config, err := ca.faulty(s.Certificate, host)
		if err == nil && s.TLSVersion != 0 {
			config.MinVersion, config.MaxVersion = s.TLSVersion, s.TLSVersion
		}
		return config, err
	}
	return out
}

// faulty returns a configuration with the certificate of a fault.
func (a *authority) faulty(kind, host string) (*tls.Config, error) {
	names, change := []string{host}, func(*x509.Certificate) {}
	day := 24 * time.Hour
	switch kind {
	case CertificateExpired:
		change = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-90*day), time.Now().Add(-day) }
	case CertificateFuture:
		change = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(day), time.Now().Add(90*day) }
	case CertificateOtherName:
		names = []string{otherHost}
	case CertificateUnknownCA:
		other, err := newAuthority()
		if err != nil {
			return nil, fmt.Errorf("make a CA nobody trusts: %w", err)
		}
		a = other
	}
	return a.server(names, nil, change)
}

// faultyConn meets the faults for redis-accept when its first bytes have come:
// a reset before that could already fail the client's connect.
type faultyConn struct {
	net.Conn
	faults *faults
	past   bool // the first bytes have come; of the reader alone
	ctx    context.Context
	leave  context.CancelFunc
}

func (f *faults) conn(nc net.Conn) net.Conn {
	ctx, leave := context.WithCancel(context.Background())
	return &faultyConn{Conn: nc, faults: f, ctx: ctx, leave: leave}
}

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.past || n == 0 {
		return n, err
	}
	c.past = true
	if s := c.faults.take("redis-accept"); s != nil && (!c.faults.wait(c.ctx, s) || s.Reset) {
		reset(c.Conn)
		return 0, net.ErrClosed
	}
	return n, err
}

// Close ends a Read that waits for a fault, too.
func (c *faultyConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// NetConn returns the connection below.
func (c *faultyConn) NetConn() net.Conn { return c.Conn }

// faultyListener gives out connections that meet the faults for redis-accept.
type faultyListener struct {
	net.Listener
	faults *faults
}

func (l faultyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.faults.conn(nc), nil
}

// reset closes a connection the hard way, by a TCP reset where it can.
func reset(nc net.Conn) {
	for {
		below, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = below.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = nc.Close()
}

var errEntraOff = errors.New("microsoft entra authentication is switched off")

// SetEntra switches Entra authentication of the cache on or off, as the box
// under Authentication in the Azure portal does. Off, every AUTH is refused
// like one of an identity without access policy; open connections stay.
func (e *Emulator) SetEntra(on bool) { e.entraOff.Store(!on) }
