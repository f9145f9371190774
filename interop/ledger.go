package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
)

// ledger keeps account of each connection by itself: a Dialer counts only their sum. It knows them by a name that their
// transports give for their remote address, which comes back in the Dialer's events. It is safe for concurrent use.
type ledger struct {
	mu    sync.Mutex // guards the rest
	links map[string]*link
}

// link is one connection.
type link struct {
	row     string
	open    bool
	until   time.Time // when the token it has ends
	reauths int
	overran time.Duration // the longest that its token was over before the next AUTH: Azure would have closed it
}

// account is what the links of one row come to.
type account struct {
	open      int
	reauths   int
	fewest    int // re-AUTHs of the open connection that has the fewest
	overruns  int
	longest   time.Duration // of the overruns
	closed    int
	untouched int // open connections without a re-AUTH
}

func newLedger() *ledger { return &ledger{links: map[string]*link{}} }

// dialer returns a NetDial for a row. It stands in for the name server, too.
func (l *ledger) dialer(row string, expires func() time.Time) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		until := expires()
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if host == hostName {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		// Numbered: ports are used again.
		name := linkName(fmt.Sprintf("%s#%d", c.RemoteAddr(), len(l.links)))
		l.links[string(name)] = &link{row: row, open: true, until: until}
		l.mu.Unlock()
		return &namedConn{Conn: c, name: name, ledger: l}, nil
	}
}

// event is entraredis.Options.OnEvent.
func (l *ledger) event(ev entraredis.Event) {
	if ev.Type != entraredis.EventReauthenticated {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.links[ev.RemoteAddr]
	if k == nil {
		return
	}
	k.reauths++
	k.overran = max(k.overran, ev.Time.Sub(k.until))
	k.until = ev.ExpiresOn
}

func (l *ledger) account(row string, now time.Time) account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := account{fewest: -1}
	for _, k := range l.links {
		if k.row != row {
			continue
		}
		a.reauths += k.reauths
		overran := k.overran
		if k.open {
			overran = max(overran, now.Sub(k.until))
		}
		if overran > 0 {
			a.overruns++
			a.longest = max(a.longest, overran)
		}
		if !k.open {
			a.closed++
			continue
		}
		a.open++
		if k.reauths == 0 {
			a.untouched++
		}
		if a.fewest < 0 || k.reauths < a.fewest {
			a.fewest = k.reauths
		}
	}
	a.fewest = max(0, a.fewest)
	return a
}

// namedConn is a transport with a name.
type namedConn struct {
	net.Conn
	name   linkName
	ledger *ledger
}

func (c *namedConn) RemoteAddr() net.Addr { return c.name }

func (c *namedConn) Close() error {
	c.ledger.mu.Lock()
	c.ledger.links[string(c.name)].open = false
	c.ledger.mu.Unlock()
	return c.Conn.Close()
}

// linkName is a connection's name, in the place of an address.
type linkName string

func (linkName) Network() string  { return "tcp" }
func (n linkName) String() string { return string(n) }
