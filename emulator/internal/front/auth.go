package front

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// auth answers AUTH [username] password.
func (c *conn) auth(args [][]byte) bool {
	if len(args) > 3 {
		c.sayError("ERR syntax error")
		return true
	}
	user, pass := "default", string(args[len(args)-1])
	if len(args) == 3 {
		user = string(args[1])
	}
	refusal, ok := c.authenticate("AUTH", user, pass)
	if ok && refusal != "" {
		c.sayError(refusal)
	} else if ok {
		c.sayOK()
	}
	return ok
}

// authenticate checks credentials and makes them the connection's. Refused
// ones leave the connection as it was. It reports false when the connection is
// to end.
func (c *conn) authenticate(command, user, pass string) (refusal string, ok bool) {
	reply, reset := c.s.cfg.AuthFault(c.present, command)
	switch {
	case reset:
		c.abort()
		return "", false
	case reply != "":
		c.s.refused.Add(1)
		return reply, true
	}
	session, err := c.s.cfg.Verify(user, pass)
	if err != nil {
		c.s.refused.Add(1)
		c.log.Info("credentials refused", "username", user, "error", err)
		return c.s.flavor.wrongPass, true
	}
	again, ok := c.setSession(session)
	if !ok {
		return "", false
	}
	c.s.auths.Add(1)
	if again {
		c.s.reauths.Add(1)
	}
	c.log.Debug("authenticated", "principal", session.Principal, "expires", session.Expires, "again", again)
	return "", true
}

// abort closes the connection the hard way, by a TCP reset where it can.
func (c *conn) abort() {
	nc := c.nc
	for {
		below, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		nc = below.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetLinger(0)
		t.Close()
	}
	c.kill("reset by a fault")
}

// setSession makes a session the connection's and sets the timer to its end.
// again says that the connection had one.
func (c *conn) setSession(session Session) (again, ok bool) {
	left := session.Expires.Add(c.s.cfg.Grace).Sub(c.s.cfg.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expired || c.closed {
		return false, false
	}
	again = c.session != nil
	c.session = &session
	c.auths++
	switch {
	case c.timer == nil:
		if !session.Expires.IsZero() {
			c.timer = time.AfterFunc(max(left, 0), c.expire)
		}
	case session.Expires.IsZero():
		c.timer.Stop()
	default:
		c.timer.Reset(max(left, 0))
	}
	return again, true
}

// expire closes the connection if its token has expired, else sets the timer
// anew: the clock is not the timer's, and may have been moved.
func (c *conn) expire() {
	now := c.s.cfg.Now()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		<-c.killed
		return
	}
	if c.session == nil || c.session.Expires.IsZero() {
		c.mu.Unlock()
		return
	}
	if left := c.session.Expires.Add(c.s.cfg.Grace).Sub(now); left > 0 {
		c.timer.Reset(left)
		c.mu.Unlock()
		return
	}
	c.expired = true
	c.mu.Unlock()
	c.kill(tokenExpired)
}

func (c *conn) current() *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

func (c *conn) setRules(username string, r *acl.Rules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil && c.session.Username == username {
		changed := *c.session
		changed.Rules = r
		c.session = &changed
	}
}

// hello answers HELLO [protover [AUTH username password] [SETNAME name]].
func (c *conn) hello(args [][]byte) bool {
	proto := c.proto
	if len(args) > 1 {
		n, err := strconv.ParseInt(string(args[1]), 10, 64)
		if err != nil && c.s.flavor.acl != acl.Redis60 {
			c.sayError("ERR Protocol version is not an integer or out of range")
			return true
		}
		if err != nil || n < 2 || n > 3 {
			c.sayError("NOPROTO unsupported protocol version")
			return true
		}
		proto = int(n)
	}
	name, named := "", false
	for i := 2; i < len(args); {
		switch word := strings.ToLower(string(args[i])); {
		case word == "auth" && i+2 < len(args):
			refusal, ok := c.authenticate("HELLO", string(args[i+1]), string(args[i+2]))
			if !ok {
				return false
			}
			if refusal != "" {
				c.sayError(refusal)
				return true
			}
			i += 3
		case word == "setname" && i+1 < len(args):
			if name, named = string(args[i+1]), true; !validName(name) {
				c.sayError(badName)
				return true
			}
			i += 2
		default:
			c.sayError(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", args[i]))
			return true
		}
	}
	if c.current() == nil {
		c.sayError(c.s.flavor.noAuthHello())
		return true
	}
	if named {
		c.setName(name)
	}
	if !c.setProto(proto) {
		return false
	}
	c.say(c.mapHeader(7))
	for _, p := range [][2]string{{"server", "redis"}, {"version", c.s.flavor.version}} {
		c.say(append(bulk(p[0]), bulk(p[1])...))
	}
	c.say(append(bulk("proto"), integer(uint64(proto))...))
	c.say(append(bulk("id"), integer(c.id)...))
	for _, p := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		c.say(append(bulk(p[0]), bulk(p[1])...))
	}
	c.say(append(bulk("modules"), array(0)...))
	return true
}

// setProto switches the backend's connections to a protocol version.
func (c *conn) setProto(proto int) bool {
	for _, l := range []*leg{c.main, c.sub} {
		if l == nil || proto == c.proto {
			continue
		}
		reply, ok := c.ask(l, "HELLO", strconv.Itoa(proto))
		if !ok {
			return false
		}
		if reply[0] == '-' {
			c.log.Error("backend refuses HELLO", "reply", strings.TrimSpace(string(reply)))
			return false
		}
	}
	c.proto = proto
	return true
}

// reset answers RESET: the connection is as new, and not authenticated.
func (c *conn) reset() bool {
	if !c.drain() {
		return false
	}
	c.retire()
	l, err := c.openLeg()
	if err != nil {
		c.log.Error("no backend", "error", err)
		return false
	}
	c.main, c.proto, c.tx = l, 2, transaction{}
	c.replyOff, c.mute, c.settle = false, false, false
	c.mu.Lock()
	c.session, c.name = nil, ""
	c.mu.Unlock()
	c.say(simple("RESET"))
	return true
}
