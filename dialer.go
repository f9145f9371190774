package entraredis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/internal/tcp"
)

const (
	defaultConnectTimeout = 15 * time.Second
	defaultKeepAlive      = 15 * time.Second

	// defaultAuthTimeout leaves room for the 10 seconds that the service may
	// take to check a token (StackExchange.Redis issue 3154, by Microsoft).
	defaultAuthTimeout = 15 * time.Second
)

// Dialer opens connections to a cache that are authenticated with the tokens
// of a Source, and stay so: each re-authenticates by itself before its token
// ends, unseen by whoever uses it. DialContext fits go-redis's Options.Dialer,
// rueidis's and valkey-go's ClientOption.DialCtxFn, redigo's
// redis.NewConn and radix's Dialer.NetDialer. The client is given no username,
// no password and no TLS configuration of its own.
//
// Source must be set; the other fields are optional and must not be changed
// after the first dial. A Dialer is safe for concurrent use and must not be
// copied after first use. It need not be closed; its connections must.
type Dialer struct {
	// Source of the tokens. Closing it leaves connections open, but without
	// re-AUTH.
	Source *Source

	// ServerName is the cache's host name, which its certificate must hold.
	// Default: TLSConfig.ServerName; else the host of the address; else, for
	// an address that is an IP (cluster nodes announce themselves so, and no
	// certificate holds it), the last host name dialed with this Dialer.
	ServerName string

	// TLSConfig of the connections. Nil: the system's roots, TLS 1.2 or newer.
	// It is cloned.
	TLSConfig *tls.Config

	// Plaintext leaves TLS out. Azure accepts Entra tokens only over TLS; this
	// is for tests on one machine. It sends the token in the clear.
	Plaintext bool

	// ClientName is set with CLIENT SETNAME behind AUTH. That the access
	// policy does not permit it is no error.
	ClientName string

	// ClientAuth, if set, answers AUTH and HELLO with AUTH that come from whoever
	// uses the connection; they do not reach the service then. A program may so
	// hand connections out to others. (AUTH with a password alone has the
	// username "default".) It is called with locks held, and must return at once.
	// Nil: they go to the service, and if it accepts one, the connection is
	// re-authenticated no longer.
	ClientAuth func(username, password []byte) bool

	// KeepAlive is the period of TCP keep-alive probes. Zero: 15 seconds;
	// negative: none.
	KeepAlive time.Duration

	// MaxIdle is for how long a connection may be without traffic in either direction:
	// before that an AUTH is sent, with the token that there is, as for a new one.
	// Azure closes connections that are idle for 10 minutes (Microsoft Learn, "Connection
	// resilience"). None is sent over a connection whose state does not let it through,
	// such as an open transaction. Zero, or negative: no bound.
	MaxIdle time.Duration

	// ConnectTimeout bounds TCP and TLS together. Zero: 15 seconds.
	ConnectTimeout time.Duration

	// AuthTimeout bounds AUTH when the connection is opened, and how long the
	// reply to a re-AUTH is waited for on an idle one. Zero: 15 seconds. The
	// service may take 10.
	AuthTimeout time.Duration

	// NetDial opens the transport that TLS goes on top of. Nil: a net.Dialer with
	// KeepAlive that, on Linux, gives a peer up that for a minute, and KeepAlive, has
	// acknowledged nothing of what was sent to it, or taken nothing (TCP_USER_TIMEOUT).
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Admit, if set, is called before the Dialer opens connections by itself, so
	// that whoever bounds the dials that it makes with DialContext can bound these
	// too: two, one behind the other, to hand a RESP2 subscriber over. It may wait
	// for as long as it likes, until ctx ends, and must be safe for concurrent use.
	// done is called once, when they have been opened, with the error of the first. An
	// error ends the attempt; another one follows while the token lasts.
	// Nil: they are opened at once.
	Admit func(ctx context.Context) (done func(error), err error)

	mu       sync.Mutex // guards the rest; never held across I/O
	lastHost string
	sessions tls.ClientSessionCache
	stats    Stats
}

// DialContext opens a connection to the cache at addr ("host:port"),
// authenticates it and returns it ready for any client that expects an
// unauthenticated Redis without TLS.
//
// ctx bounds all of it, besides ConnectTimeout and AuthTimeout, and has no
// bearing on the connection returned. Errors are *[TokenError] if there is no
// token and *[AuthError] otherwise; both wrap ctx.Err() if that was the cause.
//
// The connection's deadlines, concurrency and Close are those of net.Conn.
// Commands go out as they were written, except that an AUTH may go out between
// two of them; its reply is not seen. If the client sends AUTH or HELLO with
// AUTH itself and succeeds, the connection is its own from then on, unless
// ClientAuth is set. Bytes from
// upstream that are not RESP end the connection.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.Source == nil {
		return nil, errors.New("entraredis: Dialer.Source is nil")
	}
	c, err := d.dial(ctx, network, addr)
	d.count(func(s *Stats) {
		s.Dials++
		if err != nil {
			s.DialFailures++
		}
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, addr string) (*conn, error) {
	upstream, tok, rest, err := d.open(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newConn(d, network, addr, upstream, tok, rest), nil
}

// open returns a connection that is authenticated, with which token, and bytes
// read ahead, if any.
func (d *Dialer) open(ctx context.Context, network, addr string) (net.Conn, Token, []byte, error) {
	tok, err := d.Source.Token(ctx)
	if err != nil {
		return nil, tok, nil, err
	}
	upstream, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, tok, nil, dialError(addr, err)
	}
	tok, rest, err := d.authenticate(ctx, upstream, tok)
	if err != nil {
		upstream.Close()
		if e, ok := errors.AsType[*AuthError](err); ok {
			e.Addr = addr
			return nil, tok, nil, e
		}
		return nil, tok, nil, dialError(addr, err)
	}
	return upstream, tok, rest, nil
}

// admit is Admit where there is none, too.
func (d *Dialer) admit(ctx context.Context) (done func(error), err error) {
	if d.Admit == nil {
		return func(error) {}, nil
	}
	// An issuer that is slow must not keep others from being admitted.
	if _, err := d.Source.Token(ctx); err != nil {
		return nil, err
	}
	return d.Admit(ctx)
}

// connect opens the transport and, unless Plaintext, TLS on top of it.
func (d *Dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(d.ConnectTimeout, defaultConnectTimeout))
	defer cancel()
	netDial := d.NetDial
	if netDial == nil {
		netDial = tcp.Dialer(orDefault(d.KeepAlive, defaultKeepAlive)).DialContext
	}
	transport, err := netDial(ctx, network, addr)
	if err != nil || d.Plaintext {
		return transport, err
	}
	c := tls.Client(transport, d.tlsConfig(addr))
	if err := c.HandshakeContext(ctx); err != nil {
		transport.Close()
		return nil, &handshakeError{err}
	}
	return c, nil
}

// tlsConfig returns the configuration for a connection to addr.
func (d *Dialer) tlsConfig(addr string) *tls.Config {
	config := &tls.Config{}
	if d.TLSConfig != nil {
		config = d.TLSConfig.Clone()
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	isIP := net.ParseIP(host) != nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if !isIP {
		d.lastHost = host
	}
	switch {
	case d.ServerName != "":
		config.ServerName = d.ServerName
	case config.ServerName != "":
	case isIP && d.lastHost != "":
		config.ServerName = d.lastHost
	default:
		config.ServerName = host
	}
	if config.ClientSessionCache == nil {
		// A handshake costs Redis about a millisecond; a resumed one less.
		if d.sessions == nil {
			d.sessions = tls.NewLRUClientSessionCache(0)
		}
		config.ClientSessionCache = d.sessions
	}
	return config
}

// authenticate sends AUTH, and CLIENT SETNAME behind it, and reads the
// replies. It returns the token that was accepted, and bytes read beyond the
// replies, if any.
func (d *Dialer) authenticate(ctx context.Context, c net.Conn, tok Token) (Token, []byte, error) {
	if err := c.SetDeadline(time.Now().Add(orDefault(d.AuthTimeout, defaultAuthTimeout))); err != nil {
		return tok, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	replies := resp.NewReader(c)
	for {
		commands := authCommand(tok)
		if d.ClientName != "" {
			commands = resp.AppendCommand(commands, "CLIENT", "SETNAME", d.ClientName)
		}
		if _, err := c.Write(commands); err != nil {
			return tok, nil, contextError(ctx, err)
		}
		reply, err := replies.ReadFrame()
		if err != nil {
			return tok, nil, contextError(ctx, err)
		}
		refused := (*AuthError)(nil)
		if reply[0] != '+' {
			refused = classifyAuth(string(reply), tok, tok.Username, time.Now())
		}
		if d.ClientName != "" {
			if _, err := replies.ReadFrame(); err != nil && refused == nil {
				return tok, nil, contextError(ctx, err)
			}
		}
		if refused == nil {
			break
		}
		// A token that ended on its way here has a successor by now.
		if next, _ := d.Source.current(); next.Valid() && !next.same(tok) {
			tok = next
			continue
		}
		return tok, nil, refused
	}
	if !stop() {
		return tok, nil, ctx.Err() // the deadline may be set at any moment
	}
	return tok, replies.Rest(), c.SetDeadline(time.Time{})
}

// authCommand is AUTH in its RESP2 form: the service may not know HELLO.
func authCommand(t Token) []byte {
	b := make([]byte, 0, 64+len(t.Username)+len(t.Password())) // or it would grow several times
	return resp.AppendCommand(b, "AUTH", t.Username, t.Password())
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
