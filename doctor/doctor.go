// Package doctor walks the way to an authenticated Redis connection step by
// step and names the first that fails, what was observed, what it means and
// what to change.
//
// Redis answers WRONGPASS to nearly everything that can be wrong with an
// identity or a token, and says no more. So each step is looked at by itself:
// the host, TCP, TLS, the credential, the token's own claims, AUTH, what the
// identity may do, the nodes of a cluster, and, if asked, whether a connection
// outlives its token.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
)

// Bounds of the steps, unless Options say otherwise. The first is what
// Microsoft's "Connection resilience" pages recommend for connecting.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultTokenTimeout   = 30 * time.Second
	defaultAuthTimeout    = 15 * time.Second
)

// Options say what to examine. Addr and Credential are required; the zero
// value of everything else is a default.
type Options struct {
	// Addr is the cache's host name or address, with or without port. Without,
	// the port is that of the product the name belongs to, else 6380.
	Addr string

	// Credential is what the program that cannot connect would use.
	Credential azcore.TokenCredential

	// CredentialKind is the name of its kind in package credential, for texts;
	// "managed-identity" has the metadata service looked for first.
	CredentialKind string

	// Scope and Username are those of [entraredis.Options].
	Scope, Username string

	// TenantID is the tenant that the token should be of, if known.
	TenantID string

	// ServerName and TLSConfig are those of [entraredis.Dialer].
	ServerName string
	TLSConfig  *tls.Config

	// Plaintext leaves TLS out, which Azure never accepts: for an emulator.
	Plaintext bool

	// IssuerURL is the authority whose clock is compared with that of this
	// machine, such as https://login.microsoftonline.com; "" = none.
	IssuerURL string

	// Key is the key that permissions are tried on; "" = one that nobody has.
	// It is only read, unless WriteProbe is set.
	Key string

	// WriteProbe writes a key of its own ("entraredis:doctor:..."; never Key
	// itself), reads it and deletes it. Without it nothing is changed.
	WriteProbe bool

	// Watch is how long to hold a connection, across token refreshes; 0 = not.
	Watch time.Duration

	// ConnectTimeout bounds TCP and TLS, each; 0 = 5 s. TokenTimeout bounds
	// the acquisition of a token; 0 = 30 s. AuthTimeout bounds AUTH; 0 = 15 s.
	ConnectTimeout, TokenTimeout, AuthTimeout time.Duration

	// Redact puts placeholders in the place of names, addresses and IDs.
	Redact bool

	// Progress is told of each step as it begins and ends, one at a time, from
	// the goroutine of Run; nil = nobody is.
	Progress func(Progress)

	// Resolver resolves the host; nil = the system's. If it is a
	// [*net.Resolver], its Dial is used a second time, to read the chain of
	// CNAME records off the answers; of any other only LookupCNAME is known.
	Resolver Resolver

	// NetDial opens connections; nil = a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Transport carries requests of the doctor's own: to the metadata service
	// and to IssuerURL. Nil = over the network.
	Transport http.RoundTripper
}

// Resolver is what a net.Resolver offers to the host check.
type Resolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Progress is one moment of an examination.
type Progress struct {
	Check  Check
	Result *Result // nil when the check begins, and for a Note
	Note   string  // what was seen during the check, such as a re-AUTH
}

// TargetError says that Options.Addr cannot be used.
type TargetError struct{ Problem string }

// Error never holds the address: people paste connection strings, and those
// hold an access key.
func (e *TargetError) Error() string { return e.Problem }

// target is where the cache is.
type target struct {
	host, port string
	product    *product // nil: a name that is not Azure's
}

func (t target) addr() string { return net.JoinHostPort(t.host, t.port) }

// parseTarget reads HOST or HOST:PORT, and what else the portal and clients
// call an address.
func parseTarget(addr string) (target, error) {
	addr = strings.TrimSpace(addr)
	if strings.Contains(addr, ",") {
		return target{}, &TargetError{"this looks like a connection string, which may hold an access key: give the host name alone, such as example.redis.cache.windows.net"}
	}
	for _, scheme := range []string{"rediss://", "redis://"} {
		addr = strings.TrimSuffix(strings.TrimPrefix(addr, scheme), "/")
	}
	if strings.ContainsAny(addr, "/@ ") {
		return target{}, &TargetError{"this is neither HOST nor HOST:PORT; leave out user, password and path"}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), ""
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return target{}, &TargetError{"no host name: give HOST or HOST:PORT, such as example.redis.cache.windows.net"}
	}
	t := target{host: host, port: port, product: productOf(host)}
	if t.port == "" {
		t.port = "6380"
		if t.product != nil {
			t.port = t.product.port
		}
	}
	if n, err := net.LookupPort("tcp", t.port); err != nil || n == 0 {
		return target{}, &TargetError{fmt.Sprintf("%q is no port", t.port)}
	}
	return t, nil
}

// exam is one run: what the checks have found out for those behind them.
type exam struct {
	Options
	target

	seen   *witness // the credential, and what it returned
	source *entraredis.Source
	events chan entraredis.Event

	token    entraredis.Token
	tokenErr error         // of a token that came and could not be accepted
	skew     time.Duration // of the issuer's clock against ours; 0 if not known
	skewed   bool          // skew is known

	conn     *client // authenticated; nil until AUTH has succeeded
	redactor *redactor
	progress func(note string) // for the check that runs
}

// Run makes the checks in order and returns what they found. ctx bounds all of
// it. The error is a [*TargetError], or says which option is wrong; whatever is
// wrong with the cache or the identity is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	t, err := parseTarget(o.Addr)
	if err != nil {
		return nil, err
	}
	if o.Credential == nil {
		return nil, errors.New("doctor: no credential")
	}
	x := &exam{Options: o, target: t, events: make(chan entraredis.Event, 256)}
	x.redactor = newRedactor(t.host, o.ServerName, o.TenantID, o.Username, o.Key)
	x.withDefaults()
	x.seen = &witness{credential: o.Credential}
	x.source, err = entraredis.New(x.seen, &entraredis.Options{
		Scope: x.Scope, Username: x.Username, RequestTimeout: x.TokenTimeout,
		OnEvent: func(e entraredis.Event) {
			select {
			case x.events <- e:
			default: // nobody watches
			}
		},
	})
	if err != nil {
		return nil, err
	}
	defer x.source.Close()
	report := x.examine(ctx)
	if x.conn != nil {
		x.conn.Close()
	}
	return report, nil
}

func (x *exam) withDefaults() {
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&x.ConnectTimeout, defaultConnectTimeout}, {&x.TokenTimeout, defaultTokenTimeout}, {&x.AuthTimeout, defaultAuthTimeout},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	if x.Scope == "" {
		x.Scope = entraredis.DefaultScope
	}
	if x.Resolver == nil {
		x.Resolver = net.DefaultResolver
	}
	if x.NetDial == nil {
		x.NetDial = (&net.Dialer{}).DialContext
	}
	if x.Progress == nil {
		x.Progress = func(Progress) {}
	}
	if x.ServerName == "" && x.TLSConfig != nil {
		x.ServerName = x.TLSConfig.ServerName
		x.redactor.learn(x.ServerName)
	}
}

// serverName is the name that the cache's certificate must hold.
func (x *exam) serverName() string {
	if x.ServerName != "" {
		return x.ServerName
	}
	return x.host
}
