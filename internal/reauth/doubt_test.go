package reauth_test

import (
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// The error that tells how a CLIENT REPLY SKIP ended may be one of ours.
func TestLookupBehindSkip(t *testing.T) {
	c := newBlocked(t)
	c.command("CLIENT REPLY SKIP")
	c.command("GET k")
	c.command("XREAD BLOCK 0 STREAMS s $")
	c.command("PING")
	c.sent("CLIENT REPLY SKIP", "GET k", "XREVRANGE s + - COUNT 1")
	if got := c.recv("-NOPERM User app has no permissions to run the 'xrevrange' command\r\n"); got != "" {
		t.Errorf("client saw the error of our XREVRANGE: %q", got)
	}
	c.sent("XREAD BLOCK 0 STREAMS s $", "PING")
}

// The same with BLMPOP unknown to the service.
func TestUnknownBehindSkip(t *testing.T) {
	c := newBlocked(t)
	c.command("CLIENT REPLY SKIP")
	c.command("GET k")
	c.command("BLMPOP 0 1 a LEFT")
	c.sent("CLIENT REPLY SKIP", "GET k", "BLMPOP 60 1 a LEFT")
	if got := c.recv("-ERR unknown command `BLMPOP`, with args beginning with: `60`, `1`, \r\n"); got != "" {
		t.Errorf("client saw %q", got)
	}
}

func TestAuthBehindRefusedOff(t *testing.T) {
	c := newLocal(t)
	c.do("CLIENT REPLY OFF", "CLIENT REPLY OFF")
	c.do("AUTH secret", authOurs)
	c.do("GET k", "GET k")
	noperm := "-NOPERM User app has no permissions to run the 'client|reply' command\r\n"
	c.sees(noperm+"+OK\r\n$1\r\n1\r\n", noperm+"+OK\r\n$1\r\n1\r\n")
}

func TestOneAuthTwoAnswers(t *testing.T) {
	c := newBlocked(t)
	c.command("CLIENT REPLY OFF")
	c.Injected()
	c.recv("-NOPERM User app has no permissions to run the 'client|reply' command\r\n+OK\r\n")
	n := 0
	for {
		if _, ok := c.TakeAnswer(); !ok {
			break
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d answers to one AUTH", n)
	}
}

func TestAuthBehindReset(t *testing.T) {
	c := newLocal(t)
	c.do("MONITOR", "MONITOR")
	c.sees("+OK\r\n", "+OK\r\n")
	p := "*1\r\n$5\r\nRESET\r\n*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n"
	out := ""
	for len(p) > 0 {
		s := c.Client([]byte(p), false)
		out += p[:s.Send] + string(s.Insert)
		if s.Auth {
			out += authOurs
			c.Injected()
		}
		p = p[s.Send+s.Skip:]
	}
	if out != "*1\r\n$5\r\nRESET\r\n"+authOurs+string(resp.AppendCommand(nil, "PING")) {
		t.Errorf("went out: %q", out)
	}
	c.sees("+RESET\r\n+OK\r\n+PONG\r\n", "+RESET\r\n"+wrongPass)
}

// Whether the transaction is over is not known when AUTH is sent.
func TestAuthBehindExec(t *testing.T) {
	c := newLocal(t)
	c.do("MULTI", "MULTI")
	c.do("EXEC", "EXEC")
	c.do("AUTH wrong", "PING")
	c.sees("+OK\r\n*0\r\n+PONG\r\n", "+OK\r\n*0\r\n"+wrongPass)
}

// Nor is it what the connection is behind a SUBSCRIBE.
func TestAuthBehindSubscribe(t *testing.T) {
	c := newLocal(t)
	c.command("SUBSCRIBE c")
	c.sent("HELLO 3", "SUBSCRIBE c")
	c.do("AUTH wrong", "PING")
	c.sees("%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+PONG\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"+wrongPass)
}

// Clients that cache send transactions and subscriptions in one pipeline, and
// the first EXEC of a connection is not known to be permitted.
func TestSubscribeBehindFirstExec(t *testing.T) {
	const confirmed = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
	for _, tt := range []struct {
		name, replies string
		want          reauth.Reason
	}{
		{"permitted", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n" + confirmed, reauth.None},
		{"aborted", "+OK\r\n-ERR wrong number of arguments\r\n-EXECABORT Transaction discarded\r\n" + confirmed, reauth.None},
		{"refused", "+OK\r\n+QUEUED\r\n-NOPERM this user has no permissions\r\n+QUEUED\r\n", reauth.Unfollowable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newLocal(t)
			c.command("HELLO 3")
			c.recv("%0\r\n")
			for _, command := range []string{"MULTI", "GET k", "EXEC", "SUBSCRIBE c"} {
				c.command(command)
			}
			if got := c.Deferred(); got != reauth.Transaction {
				t.Errorf("deferred by %q before it is answered", got)
			}
			if got := c.recv(tt.replies); got != tt.replies {
				t.Errorf("client saw %q", got)
			}
			if got := c.Deferred(); got != tt.want {
				t.Errorf("deferred by %q, want %q", got, tt.want)
			}
		})
	}
}

// What stands in a transaction for certain is not followed.
func TestSubscribeInMulti(t *testing.T) {
	c := newLocal(t)
	for _, command := range []string{"MULTI", "EXEC", "MULTI", "SUBSCRIBE c"} {
		c.command(command)
	}
	if got := c.Deferred(); got != reauth.Unfollowable {
		t.Errorf("deferred by %q", got)
	}
}
