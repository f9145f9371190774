package doctor

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// chainTimeout bounds the lookup that is only to be shown.
const chainTimeout = 2 * time.Second

// maxLinks bounds the chain that is read.
const maxLinks = 16

// chain is the way from a host to its addresses, by CNAME records.
type chain struct {
	names []string     // the host, then its aliases in order, without final dots
	addrs []netip.Addr // of the last name
}

// private returns the first private link name among the aliases, or "".
func (c chain) private() string {
	for _, name := range c.names[1:] {
		if strings.Contains(strings.ToLower(name), "."+privateLabel+".") {
			return name
		}
	}
	return ""
}

// leadsTo reports whether the chain ends at one of the addresses.
func (c chain) leadsTo(addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		return slices.ContainsFunc(c.addrs, func(b netip.Addr) bool { return a.Unmap() == b.Unmap() })
	})
}

// aliases returns the chain that begins at the host. Package net tells only
// where one ends, so its own resolver is sent once more and what it is answered
// is read. heard is false if nothing was: the name is in /etc/hosts, or DNS is
// not to be asked directly. Then the chain has at most one link, without its
// addresses.
func (x *exam) aliases(ctx context.Context) (c chain, heard bool) {
	if r, ok := x.Resolver.(*net.Resolver); ok {
		t := &tap{host: x.host, dial: (&net.Dialer{}).DialContext}
		if r != nil && r.Dial != nil {
			t.dial = r.Dial
		}
		ctx, cancel := context.WithTimeout(ctx, chainTimeout)
		defer cancel()
		// The final dot keeps it from trying search domains. What it returns is
		// less than what was heard.
		_, _ = (&net.Resolver{PreferGo: true, Dial: t.Dial}).LookupCNAME(ctx, x.host+".")
		if c, heard = t.chain(); heard {
			return c, true
		}
	}
	c.names = []string{x.host}
	alias, err := x.Resolver.LookupCNAME(ctx, x.host)
	alias = strings.TrimSuffix(alias, ".")
	if err == nil && isHostName(alias) && !strings.EqualFold(alias, x.host) {
		c.names = append(c.names, alias)
	}
	return c, false
}

// tap reads the answers about a host that pass through the connections it
// opens. It changes nothing on them.
type tap struct {
	host string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex // guards the rest
	best  chain      // the longest
	heard bool
}

// Dial is for [net.Resolver.Dial].
func (t *tap) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := t.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if packets, ok := conn.(net.PacketConn); ok {
		return &tappedPackets{conn, packets, t}, nil
	}
	return &tappedStream{Conn: conn, tap: t}, nil
}

func (t *tap) chain() (chain, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Answers come in any order; and one may still come.
	return chain{t.best.names, slices.SortedFunc(slices.Values(t.best.addrs), netip.Addr.Compare)}, t.heard
}

// read takes note of a message. A, AAAA and CNAME are asked for at once, so
// there are several: only two of them have addresses, of one kind each.
func (t *tap) read(message []byte) {
	c, ok := readChain(message, t.host)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.heard || len(c.names) > len(t.best.names):
		t.best, t.heard = c, true
	case slices.EqualFunc(c.names, t.best.names, strings.EqualFold):
		for _, a := range c.addrs {
			if !slices.Contains(t.best.addrs, a) {
				t.best.addrs = append(t.best.addrs, a)
			}
		}
	}
}

// readChain reads the chain of a host off an answer to a question about it. ok
// is false for all else: anybody can send a datagram. A truncated answer is
// asked for again over TCP.
func readChain(message []byte, host string) (c chain, ok bool) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || !header.Response || header.Truncated {
		return chain{}, false
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 || questions[0].Class != dnsmessage.ClassINET || !strings.EqualFold(questions[0].Name.String(), host+".") {
		return chain{}, false
	}
	switch questions[0].Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME:
	default:
		return chain{}, false
	}
	answers, err := p.AllAnswers()
	if err != nil {
		return chain{}, false
	}
	aliasOf := map[string]string{}
	addrsOf := map[string][]netip.Addr{}
	for _, a := range answers {
		if a.Header.Class != dnsmessage.ClassINET {
			continue
		}
		name := strings.ToLower(a.Header.Name.String())
		switch body := a.Body.(type) {
		case *dnsmessage.CNAMEResource:
			if _, ok := aliasOf[name]; !ok { // a name has one only
				aliasOf[name] = body.CNAME.String()
			}
		case *dnsmessage.AResource:
			addrsOf[name] = append(addrsOf[name], netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			addrsOf[name] = append(addrsOf[name], netip.AddrFrom16(body.AAAA))
		}
	}
	c.names = []string{host}
	at := strings.ToLower(host) + "."
	for range maxLinks {
		next := strings.TrimSuffix(aliasOf[at], ".")
		if !isHostName(next) {
			break
		}
		again := slices.ContainsFunc(c.names, func(s string) bool { return strings.EqualFold(s, next) })
		c.names = append(c.names, next)
		at = strings.ToLower(next) + "."
		if again { // a loop: once round is enough
			break
		}
	}
	c.addrs = addrsOf[at]
	return c, true
}

// isHostName reports whether a name can be that of a server on the Internet.
// DNS itself permits any byte, also those that move a terminal's cursor.
func isHostName(name string) bool {
	return strings.Contains(name, ".") && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// tappedPackets is a connection of datagrams, a message each. Package net
// knows one by its being a net.PacketConn.
type tappedPackets struct {
	net.Conn
	packets net.PacketConn
	tap     *tap
}

func (c *tappedPackets) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		c.tap.read(b[:n])
	}
	return n, err
}

func (c *tappedPackets) ReadFrom(b []byte) (int, net.Addr, error) { return c.packets.ReadFrom(b) }

func (c *tappedPackets) WriteTo(b []byte, to net.Addr) (int, error) { return c.packets.WriteTo(b, to) }

// tappedStream is a TCP connection: a message follows its length, in two bytes
// (RFC 1035, section 4.2.2).
type tappedStream struct {
	net.Conn
	tap     *tap
	pending []byte // what came of a message that is not complete
}

func (c *tappedStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.pending = append(c.pending, b[:n]...)
	for len(c.pending) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.pending))
		if len(c.pending) < end {
			break
		}
		c.tap.read(c.pending[2:end])
		c.pending = c.pending[end:]
	}
	return n, err
}
