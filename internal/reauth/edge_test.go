package reauth_test

import (
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// ASKING and CLIENT CACHING hold for the one next command only.
func TestPrefixCommands(t *testing.T) {
	for _, l := range []string{"ASKING", "CLIENT CACHING YES", "CLIENT CACHING NO"} {
		c := newChat(t)
		c.send(l)
		if c.Deferred() == reauth.None {
			t.Errorf("%s: an AUTH may go between it and the command that it is for", l)
		}
	}
}

// Whoever switches every reply off with SKIP, or runs transactions behind OFF, never reads.
func TestEndlessUnanswered(t *testing.T) {
	for _, cycle := range []string{
		"CLIENT REPLY SKIP\r\nSET a 1\r\n",
		"MULTI\r\nSET a 1\r\nEXEC\r\n",
	} {
		tr := reauth.New()
		if strings.HasPrefix(cycle, "MULTI") {
			tr.Client([]byte("CLIENT REPLY OFF\r\n"), false)
		}
		for i := range 1 << 20 {
			if tr.Client([]byte(cycle), false); tr.Deferred() == reauth.Unfollowable && strings.HasPrefix(cycle, "MULTI") {
				t.Errorf("%q: given up in round %d", cycle, i)
				break
			}
		}
	}
}

// An error that merely looks like a refusal of CLIENT REPLY.
func TestErrorBehindSkip(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY SKIP", "SET a 1", "CLIENT SETINFO LIB-NAME x", "SET b 1")
	c.passes("-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n+OK\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

// CLIENT REPLY OFF refused with a text that does not name it.
func TestOffRefusedOtherwise(t *testing.T) {
	for _, e := range []string{"-BUSY Redis is busy running a script.\r\n", "-NOAUTH Authentication required.\r\n", "-ERR command is not allowed\r\n"} {
		c := newChat(t)
		c.send("CLIENT REPLY OFF", "SET a 1")
		c.inject()
		c.send("SET b 1")
		if got := c.recv(e + "+OK\r\n+OK\r\n+OK\r\n"); got != e+"+OK\r\n+OK\r\n" {
			t.Errorf("client saw %q", got)
		}
	}
}

// A late answer from before CLIENT REPLY OFF does not speak of a MULTI behind it.
func TestTransactionBegunUnseen(t *testing.T) {
	c := newChat(t)
	c.send("DISCARD", "CLIENT REPLY OFF", "MULTI")
	c.passes("-ERR DISCARD without MULTI\r\n")
	c.want(reauth.Transaction)
}

// RESET refused (Redis 6.0 has none) behind CLIENT REPLY OFF: nothing is answered, not even our AUTH.
func TestResetUnknownBehindOff(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY OFF")
	b := resp.AppendCommand(nil, "RESET")
	if step := c.Client(b, false); step.Send != len(b) {
		t.Fatal(step)
	} else if step.Auth {
		c.Injected()
	}
	c.send("CLIENT REPLY ON", "SET a 1", "SET b 1")
	c.passes("+OK\r\n+OK\r\n+OK\r\n")
}

// A second MONITOR has no reply (Redis 6.0, 7.x).
func TestMonitorTwice(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR")
	c.step(resp.AppendCommand(nil, "MONITOR"), false)
	c.want(reauth.Monitoring)
	c.passes("+OK\r\n+RESET\r\n")
}

// The answer to a RESET does not speak of a MONITOR sent behind it.
func TestMonitorBehindReset(t *testing.T) {
	c := newChat(t)
	if c.step(resp.AppendCommand(nil, "RESET"), false).Auth {
		c.Injected()
	}
	c.send("MONITOR")
	c.recv("+RESET\r\n+OK\r\n+OK\r\n")
	c.want(reauth.Monitoring)
}

// REPLCONF ACK and GETACK are not answered.
func TestReplconf(t *testing.T) {
	c := newChat(t)
	c.send("REPLCONF ACK 0")
	if c.Deferred() != reauth.None {
		return
	}
	c.inject()
	c.hides("+OK\r\n")
}

// RESET refused while monitoring (Redis 6.0, or not permitted).
func TestResetRefusedInMonitor(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR")
	c.passes("+OK\r\n")
	b := resp.AppendCommand(nil, "RESET")
	if c.Client(b, false).Auth {
		c.Injected()
	}
	c.passes("-ERR unknown command `RESET`\r\n")
	c.passes("+1700000000.000001 [0 127.0.0.1:1] \"GET\" \"a\"\r\n")
}

// A status that begins with a digit is not always a MONITOR line.
func TestStatusLikeMonitor(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR", "EVAL x 0")
	b := resp.AppendCommand(nil, "RESET")
	if c.Client(b, false).Auth {
		c.Injected()
	}
	c.passes("+OK\r\n+1 of 3\r\n+RESET\r\n")
	c.hides("+OK\r\n")
}

// An attribute before a push does not make it a reply.
func TestAttributeBeforePush(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3")
	c.passes("%0\r\n")
	c.send("GET a")
	c.inject()
	c.passes("|1\r\n+k\r\n+v\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n")
	c.passes("+OK\r\n") // GET's
	c.hides("+OK\r\n")
}

// HELLO 3 SETNAME auth logs nobody in.
func TestHelloNameAuth(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3 SETNAME auth")
	c.passes("%0\r\n")
	c.want(reauth.None)
}
