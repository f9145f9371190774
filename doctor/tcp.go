package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/entraredis/entraredis"
)

func checkTCP(ctx context.Context, x *exam, r *Result) {
	begin := time.Now()
	conn, err := x.dialTCP(ctx, x.addr())
	took := time.Since(begin)
	if err != nil {
		f := x.tcpFinding(err)
		r.say("no connection to %s", x.addr())
		r.fail(f)
		return
	}
	defer conn.Close()
	remote := x.addr()
	if a := conn.RemoteAddr(); a != nil {
		remote = a.String()
	}
	r.fact("remote address", "%s", remote)
	r.fact("time", "%s", millis(took))
	r.say("connected to %s in %s", remote, millis(took))
}

// dialTCP connects within ConnectTimeout.
func (x *exam) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, x.ConnectTimeout)
	defer cancel()
	return x.NetDial(ctx, "tcp", addr)
}

// tcpFinding tells the ways in which a connection fails apart: each has a
// cause of its own.
func (x *exam) tcpFinding(err error) Finding {
	port := ""
	if p := x.product; p != nil && x.port != p.port && !p.nodePort(x.port) {
		port = fmt.Sprintf("Use port %s, the one of %s. ", p.port, p.name)
	}
	f := Finding{Kind: entraredis.KindUnreachable, Observed: err.Error()}
	switch cause := networkCause(err); cause {
	case refused:
		f.Anchor, f.Means = "connection-refused", "the address answers, and nothing listens on this port: it is the wrong one, or the cache is restarting"
		f.Remedy = port + "Compare with az redis show -g <group> -n <cache> --query \"{host:hostName, port:sslPort}\". After a change of its settings a cache restarts its nodes, which may take up to half an hour."
	case timedOut:
		f.Anchor, f.Means = "connection-timeout", "packets vanish: a firewall on the way, public access that is switched off, or a private endpoint that this network cannot reach"
		f.Remedy = port + "In the portal open the cache's Networking page: allow this machine's address, or connect from the private endpoint's virtual network; then look at the network security groups and firewalls for outbound " + x.port + "."
	case wasReset:
		f.Anchor, f.Means = "connection-reset", "something took the connection and tore it down: a firewall or proxy that does not let it pass, or a cache in the midst of a failover"
		f.Remedy = "Try again in a minute. If it stays so, look for a firewall or proxy between here and the cache, and at the cache's firewall rules on its Networking page."
	case noRoute:
		f.Anchor, f.Means = "no-route", "this machine has no route to the address, as happens with a private endpoint seen from outside its virtual network"
		f.Remedy = "Connect from the virtual network of the cache's private endpoint (or one peered with it, or over VPN), and check the route table of this machine's subnet."
	default:
		f.Means = "the connection could not be made"
	}
	return f
}

// cause is how the network failed.
type cause int

const (
	otherCause cause = iota
	refused
	timedOut
	wasReset
	noRoute
	ended // closed without a word
)

func networkCause(err error) cause {
	// Windows has numbers of its own, which no constant here is equal to.
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(text, "refused"):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE), strings.Contains(text, "forcibly closed"):
		return wasReset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), strings.Contains(text, "unreachable host"), strings.Contains(text, "unreachable network"):
		return noRoute
	case isTimeout(err):
		return timedOut
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ended
	}
	return otherCause
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// millis is a duration as people read one.
func millis(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
