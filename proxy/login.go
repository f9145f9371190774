package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// Password returns an Auth that takes one username and password. An empty
// username takes any. It compares in constant time.
func Password(username, password string) func(username, password []byte) bool {
	wantName, want := sha256.Sum256([]byte(username)), sha256.Sum256([]byte(password))
	return func(u, p []byte) bool {
		name, got := sha256.Sum256(u), sha256.Sum256(p)
		ok := subtle.ConstantTimeCompare(got[:], want[:])
		if username != "" {
			ok &= subtle.ConstantTimeCompare(name[:], wantName[:])
		}
		return ok == 1
	}
}

// maxLogin bounds what a client may send at a time before it has authenticated,
// in bytes.
const maxLogin = 64 << 10

// The replies of a Redis that asks for a password.
const (
	replyOK        = "+OK\r\n"
	replyNoAuth    = "-NOAUTH Authentication required.\r\n"
	replyWrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	replyHelloAuth = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"
	replyArity     = "-ERR wrong number of arguments for 'auth' command\r\n"
)

// greet returns when the client has sent something that is worth an upstream:
// anything, or, where it has to authenticate, that. It returns what upstream
// is to be sent first.
func (c *client) greet() (begun []byte, err error) {
	if c.proxy.Auth == nil {
		b := make([]byte, smallBuffer)
		n, _ := c.conn.Read(b)
		if n == 0 {
			return nil, errLeft
		}
		return b[:n], nil // an error comes again
	}
	limit := c.proxy.LoginTimeout
	if limit == 0 {
		limit = defaultLoginTimeout
	}
	timer := time.AfterFunc(limit, func() { c.end(errSlowLogin) })
	defer timer.Stop()

	commands := resp.NewReader(c.conn)
	commands.Limit = int(min(maxLogin, bound(c.proxy.MaxCommand)))
	for {
		args, err := commands.ReadCommand()
		if err == resp.ErrTooLarge && commands.Limit < maxLogin {
			return nil, c.proxy.commandTooLarge()
		}
		if e, ok := errors.AsType[*resp.ProtocolError](err); ok {
			c.say("ERR " + e.Text)
			return nil, err
		}
		if err != nil {
			return nil, errLeft
		}
		reply, in := c.login(args)
		if in && reply == "" {
			begun = resp.AppendCommandBytes(nil, args...)
		}
		if _, err := io.WriteString(c.conn, reply); err != nil || strings.EqualFold(string(args[0]), "QUIT") {
			return nil, errLeft
		}
		if in {
			return append(begun, commands.Rest()...), nil
		}
	}
}

// login answers a command of a client that has not authenticated, and reports
// whether it has now. A HELLO that does so has no reply: it is upstream's.
func (c *client) login(args [][]byte) (reply string, in bool) {
	var username, password []byte
	switch strings.ToUpper(string(args[0])) {
	case "AUTH":
		switch len(args) {
		case 2:
			username, password = []byte("default"), args[1]
		case 3:
			username, password = args[1], args[2]
		default:
			return replyArity, false
		}
		reply = replyOK
	case "HELLO":
		at := slices.IndexFunc(args, func(a []byte) bool { return bytes.EqualFold(a, []byte("AUTH")) })
		if at < 0 || at+2 >= len(args) {
			return replyHelloAuth, false
		}
		username, password = args[at+1], args[at+2]
	case "QUIT":
		return replyOK, false
	case "RESET":
		return "+RESET\r\n", false
	default:
		return replyNoAuth, false
	}
	if !c.proxy.Auth(username, password) {
		c.proxy.count(func(s *Stats) { s.LoginsFailed++ })
		return replyWrongPass, false
	}
	return reply, true
}
