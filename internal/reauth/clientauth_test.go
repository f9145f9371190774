package reauth_test

import (
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

const (
	wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	authOurs  = "<AUTH>"
)

// local is a chat with a tracker that answers AUTH itself.
type local struct{ *blocked }

func newLocal(t *testing.T) *local {
	c := &local{newBlocked(t)}
	c.Authenticate = func(username, password []byte) bool {
		return string(username) == "default" && string(password) == "secret"
	}
	return c
}

// do sends a command and checks what goes upstream; authOurs stands for an
// AUTH of ours.
func (c *local) do(line string, upstream string) {
	c.t.Helper()
	p := resp.AppendCommand(nil, strings.Fields(line)...)
	out := ""
	for i := 0; len(p) > 0; i++ {
		step := c.Client(p, false)
		out += string(p[:step.Send]) + string(step.Insert)
		if step.Auth {
			out += authOurs
			c.Injected()
		}
		p = p[step.Send+step.Skip:]
	}
	if upstream != authOurs {
		upstream = string(resp.AppendCommand(nil, strings.Fields(upstream)...))
	}
	if out != upstream {
		c.t.Fatalf("%s: went out %q, want %q", line, out, upstream)
	}
}

func (c *local) sees(raw, want string) {
	c.t.Helper()
	if got := c.recv(raw); got != want {
		c.t.Fatalf("client saw %q, want %q", got, want)
	}
}

func TestClientsAuthIsAnsweredHere(t *testing.T) {
	c := newLocal(t)
	c.do("GET k", "GET k")
	c.do("AUTH secret", authOurs)
	c.do("auth default secret", authOurs)
	c.do("AUTH wrong", authOurs)
	c.do("GET k", "GET k")
	c.sees("$1\r\n1\r\n+OK\r\n+OK\r\n+OK\r\n$1\r\n2\r\n", "$1\r\n1\r\n+OK\r\n+OK\r\n"+wrongPass+"$1\r\n2\r\n")
	for range 3 {
		c.answer(accepted)
	}
	c.inject()
	c.hides("+OK\r\n")

	// What the service says of our token is no affair of the client's.
	c.do("AUTH secret", authOurs)
	c.sees("-WRONGPASS invalid token\r\n", "+OK\r\n")
	c.do("AUTH", "AUTH")
	c.sees("-ERR wrong number of arguments for 'auth' command\r\n", "-ERR wrong number of arguments for 'auth' command\r\n")
	c.want(reauth.None)
}

func TestClientsHelloIsAnsweredHere(t *testing.T) {
	c := newLocal(t)
	c.do("HELLO 3 AUTH default secret SETNAME x", "HELLO 3 SETNAME x")
	c.sees("%0\r\n", "%0\r\n")
	c.do("HELLO 3 SETNAME x AUTH default wrong", authOurs)
	c.sees("+OK\r\n", wrongPass)
	c.do("HELLO 2 AUTH default secret", "HELLO 2")
	c.sees("*0\r\n", "*0\r\n")
	c.do("HELLO", "HELLO")
	c.sees("*0\r\n", "*0\r\n")
	c.do("HELLO 3 AUTH secret", "HELLO 3 AUTH secret")
	c.sees("-ERR syntax error\r\n", "-ERR syntax error\r\n")
	c.inject()
}

// Where an AUTH of ours may not stand a PING takes the place.
func TestClientsAuthInATransaction(t *testing.T) {
	c := newLocal(t)
	c.do("MULTI", "MULTI")
	c.sees("+OK\r\n", "+OK\r\n")
	c.do("AUTH secret", "PING")
	c.sees("+QUEUED\r\n", "+QUEUED\r\n")
	c.do("EXEC", "EXEC")
	c.sees("*1\r\n+PONG\r\n", "*1\r\n+PONG\r\n")
	c.inject()
}

func TestClientsAuthUnseen(t *testing.T) {
	c := newLocal(t)
	c.do("CLIENT REPLY OFF", "CLIENT REPLY OFF")
	c.do("AUTH secret", authOurs)
	c.do("CLIENT REPLY ON", "CLIENT REPLY ON")
	c.sees("+OK\r\n", "+OK\r\n")
	c.do("CLIENT REPLY SKIP", "CLIENT REPLY SKIP")
	c.do("AUTH secret", "PING")
	c.do("GET k", "GET k")
	c.sees("$-1\r\n", "$-1\r\n")
	c.inject()
}

func TestClientsAuthOfAnUpgradedSubscriber(t *testing.T) {
	c := newLocal(t)
	c.command("SUBSCRIBE c")
	c.sent("HELLO 3", "SUBSCRIBE c")
	c.sees("%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
	c.do("AUTH secret", authOurs)
	c.sees("+OK\r\n", "+OK\r\n")
}

func TestClientsAuthInPieces(t *testing.T) {
	c := newLocal(t)
	raw := string(resp.AppendCommand(nil, "AUTH", "default", "secret"))
	for i := range len(raw) - 1 {
		c.write(raw[i : i+1])
		if c.out != "" {
			c.t.Fatalf("went out: %q", c.out)
		}
	}
	step := c.Client(append(c.b, raw[len(raw)-1]), false)
	if !step.Auth || step.Skip != len(raw) {
		t.Fatalf("got %+v", step)
	}
}
