package reauth_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// chat drives a Tracker by hand: what the client sends, what the server
// answers, and where an AUTH of ours goes in.
type chat struct {
	t *testing.T
	*reauth.Tracker
}

func newChat(t *testing.T) *chat { return &chat{t, reauth.New()} }

// send feeds commands, words separated by blanks, one a line, that need
// nothing of ours in between.
func (c *chat) send(lines ...string) {
	c.t.Helper()
	for _, l := range lines {
		if own := c.sendWith(l); own != "" {
			c.t.Fatalf("send %q: %q went out before it", l, own)
		}
	}
}

// sendWith feeds a command and returns what of ours goes out before it.
func (c *chat) sendWith(line string) (own string) {
	c.t.Helper()
	b := resp.AppendCommand(nil, strings.Fields(line)...)
	for {
		step := c.step(b, false)
		if step.Auth || step.Hold || step.Skip != 0 || step.Insert == nil && step.Send != len(b) || step.Insert != nil && step.Send != 0 {
			c.t.Fatalf("send %q: got %+v", line, step)
		}
		if step.Insert == nil {
			return own
		}
		own += string(step.Insert)
	}
}

const (
	hello2 = "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"
	hello3 = "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
)

// ours sends a command that needs something of ours before it.
func (c *chat) ours(own, line string) {
	c.t.Helper()
	if got := c.sendWith(line); got != own {
		c.t.Fatalf("send %q: got %q before it, want %q", line, got, own)
	}
}

func (c *chat) step(b []byte, want bool) reauth.Step {
	c.t.Helper()
	return c.Client(b, want)
}

func (c *chat) want(why reauth.Reason) {
	c.t.Helper()
	if got := c.Deferred(); got != why {
		c.t.Fatalf("got deferred %q, want %q", got, why)
	}
}

func (c *chat) inject() {
	c.t.Helper()
	c.want(reauth.None)
	c.Injected()
}

// recv feeds what the server says, byte by byte and in one piece on a copy
// would need two trackers; here it goes in pieces of a varying size. It
// returns what the client sees.
func (c *chat) recv(raw string) string {
	c.t.Helper()
	var seen strings.Builder
	for size := 1; len(raw) > 0; size = size*2%13 + 1 {
		piece := raw[:min(size, len(raw))]
		raw = raw[len(piece):]
		for b := []byte(piece); len(b) > 0; {
			n, v, err := c.Server(b)
			if err != nil {
				c.t.Fatalf("server bytes %q: %v", b, err)
			}
			seen.Write(c.TakeHeld())
			if v == reauth.Pass {
				seen.Write(b[:n])
			}
			b = b[n:]
		}
	}
	return seen.String()
}

// passes checks that the client sees all of raw, hides that it sees nothing.
func (c *chat) passes(raw string) {
	c.t.Helper()
	if got := c.recv(raw); got != raw {
		c.t.Fatalf("client saw %q, want %q", got, raw)
	}
}

func (c *chat) hides(raw string) {
	c.t.Helper()
	if got := c.recv(raw); got != "" {
		c.t.Fatalf("client saw %q of our own answer", got)
	}
}

func (c *chat) answer(want reauth.Answer) {
	c.t.Helper()
	if got, ok := c.TakeAnswer(); !ok || got != want {
		c.t.Fatalf("got answer %+v %v, want %+v", got, ok, want)
	}
}

var accepted = reauth.Answer{OK: true}

func TestIdle(t *testing.T) {
	c := newChat(t)
	c.inject()
	c.want(reauth.InFlight)
	c.hides("+OK\r\n")
	c.answer(accepted)
	c.want(reauth.None)
	c.send("GET a")
	c.passes("+OK\r\n") // looks like ours, is the client's
}

func TestBetweenPipelinedCommands(t *testing.T) {
	c := newChat(t)
	c.send("GET a", "GET b")
	c.inject()
	c.send("GET c")
	if got := c.recv("$1\r\n1\r\n+OK\r\n-WRONGPASS no\r\n$1\r\n3\r\n"); got != "$1\r\n1\r\n+OK\r\n$1\r\n3\r\n" {
		t.Fatalf("client saw %q", got)
	}
	c.answer(reauth.Answer{Line: "WRONGPASS no"})
	c.want(reauth.None)
}

func TestFirstBoundaryInsideAWrite(t *testing.T) {
	c := newChat(t)
	half := "*2\r\n$3\r\nGET\r\n$1\r\n"
	if step := c.step([]byte(half), true); step.Send != len(half) {
		t.Fatalf("got %+v, want half a command sent: its name is known", step)
	}
	c.want(reauth.HalfWritten)
	rest := "a\r\n" + half
	if step := c.step([]byte(rest), true); step.Send != 3 || !step.Auth {
		t.Fatalf("got %+v, want the boundary at 3", step)
	}
	c.Injected()
	if step := c.step([]byte(rest[3:]), false); step.Send != len(half) || step.Auth {
		t.Fatalf("rest: got %+v", step)
	}
	c.want(reauth.HalfWritten)
	c.passes("$1\r\nv\r\n")
	c.hides("+OK\r\n")
}

func TestUnnamedCommandWaits(t *testing.T) {
	whole := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	for cut := 1; cut < strings.Index(whole, "GET\r\n")+len("GET\r\n"); cut++ {
		c := newChat(t)
		if step := c.step([]byte("*1\r\n$4\r\nPING\r\n"+whole[:cut]), false); step.Send != len("*1\r\n$4\r\nPING\r\n") || !step.Hold {
			t.Fatalf("cut at %d: got %+v, want what follows PING held", cut, step)
		}
		c.inject()
		if step := c.step([]byte(whole), false); step.Send != len(whole) || step.Hold {
			t.Fatalf("cut at %d: got %+v", cut, step)
		}
		c.passes("+PONG\r\n")
		c.hides("+OK\r\n")
		c.passes("$-1\r\n")
	}
}

func TestInlineCommands(t *testing.T) {
	c := newChat(t)
	if step := c.step([]byte("PI"), false); step.Send != 0 || !step.Hold {
		t.Fatalf("got %+v, want half a line held", step)
	}
	c.step([]byte("PING\r\n\r\n"), false)
	c.inject()
	c.step([]byte("multi\r\n"), false)
	c.want(reauth.Transaction)
	c.passes("+PONG\r\n")
	c.hides("+OK\r\n")
	c.passes("+OK\r\n")
}

func TestTransactionWaitsForItsEnd(t *testing.T) {
	c := newChat(t)
	c.send("WATCH k")
	c.want(reauth.None)
	c.send("MULTI", "SET k v")
	c.want(reauth.Transaction)
	c.passes("+OK\r\n+OK\r\n+QUEUED\r\n")
	c.send("EXEC")
	c.want(reauth.Transaction) // EXEC may be refused, and leave it open
	c.passes("*1\r\n+OK\r\n")
	c.want(reauth.None)
	// From now on EXEC is known to be permitted: no need to wait.
	c.send("MULTI", "SET k v", "EXEC")
	c.inject()
	c.send("MULTI")
	c.want(reauth.Transaction)
	c.passes("+OK\r\n+QUEUED\r\n*-1\r\n")
	c.want(reauth.Transaction)
	c.hides("+OK\r\n")
	c.passes("+OK\r\n")
	c.want(reauth.Transaction)
	c.send("DISCARD")
	c.want(reauth.Transaction) // another command than EXEC
	c.passes("+OK\r\n")
	c.send("MULTI", "DISCARD")
	c.inject()
}

func TestTransactionEndings(t *testing.T) {
	for _, tt := range []struct {
		end, reply string
		want       reauth.Reason
	}{
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors.", reauth.None},
		{"EXEC", "-ERR EXEC without MULTI", reauth.None},
		{"DISCARD", "-ERR DISCARD without MULTI", reauth.None},
		{"EXEC", "-MOVED 1 127.0.0.1:1", reauth.None},
		{"EXEC", "-CROSSSLOT Keys in request don't hash to the same slot", reauth.None},
		{"EXEC", "-NOPERM this user has no permissions to run the 'exec' command", reauth.Transaction},
		{"EXEC", "-BUSY Redis is busy running a script", reauth.Transaction},
		{"DISCARD", "-ERR wrong number of arguments for 'discard' command", reauth.Transaction},
		{"RESET", "+RESET", reauth.None},
	} {
		c := newChat(t)
		c.send("MULTI")
		c.passes("+OK\r\n")
		b := resp.AppendCommand(nil, tt.end)
		if c.step(b, false).Auth {
			c.Injected()
			c.passes(tt.reply + "\r\n")
			c.hides("+OK\r\n")
		} else {
			c.passes(tt.reply + "\r\n")
		}
		if got := c.Deferred(); got != tt.want {
			t.Errorf("%s answered %q: got deferred %q, want %q", tt.end, tt.reply, got, tt.want)
		}
	}
}

func TestRefusedMultiLeavesNoTransaction(t *testing.T) {
	c := newChat(t)
	c.send("MULTI", "MULTI")
	c.passes("-NOPERM no\r\n")
	c.want(reauth.Transaction)
	c.passes("-NOPERM no\r\n")
	c.want(reauth.None)
	c.send("MULTI")
	c.passes("+OK\r\n")
	c.send("MULTI")
	c.passes("-ERR MULTI calls can not be nested\r\n")
	c.want(reauth.Transaction)
}

func TestModeChangeInsideATransactionIsLeftAlone(t *testing.T) {
	for _, cmd := range []string{"SUBSCRIBE a", "HELLO 3", "CLIENT REPLY OFF", "MONITOR", "AUTH u p"} {
		c := newChat(t)
		c.send("MULTI", cmd, "EXEC")
		c.passes("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
		c.want(reauth.Unfollowable)
	}
}

func TestRESP3Subscriber(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3", "SUBSCRIBE a b")
	c.want(reauth.Subscribed) // HELLO may be refused
	c.passes("%1\r\n+proto\r\n:3\r\n")
	c.inject()
	c.passes(">3\r\n+subscribe\r\n+a\r\n:1\r\n>3\r\n+subscribe\r\n+b\r\n:2\r\n")
	c.passes(">3\r\n+message\r\n+a\r\n+hi\r\n")
	if got := c.recv(">3\r\n+message\r\n+a\r\n+1\r\n+OK\r\n>3\r\n+message\r\n+a\r\n+2\r\n"); got !=
		">3\r\n+message\r\n+a\r\n+1\r\n>3\r\n+message\r\n+a\r\n+2\r\n" {
		t.Fatalf("client saw %q", got)
	}
	c.answer(accepted)
	c.send("LRANGE l 0 2", "GET a")
	c.passes("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n") // no message: that would be a push
	c.inject()
	c.passes("_\r\n")
	c.hides("+OK\r\n")
	c.send("HELLO 2")
	c.want(reauth.Subscribed)
	c.passes("*2\r\n+proto\r\n:2\r\n")
	c.want(reauth.Subscribed)
}

// Where HELLO is refused a RESP2 subscriber stays one.
func TestRESP2SubscriberWithoutHello(t *testing.T) {
	c := newChat(t)
	c.send("GET a")
	c.inject()
	c.ours(hello3, "SUBSCRIBE a b")
	c.send("PSUBSCRIBE p*")
	c.want(reauth.Subscribed)
	c.passes("*2\r\n$7\r\nmessage\r\n$1\r\nx\r\n") // GET's neighbour LRANGE could say this
	c.hides("+OK\r\n-ERR unknown command `HELLO`\r\n")
	c.passes("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
	c.passes("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:3\r\n")
	c.want(reauth.Subscribed)
	c.send("PING", "UNSUBSCRIBE", "PUNSUBSCRIBE")
	c.ours(hello2, "GET a")
	c.passes("*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n")
	c.want(reauth.Subscribed)
	c.passes("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n")
	c.hides("-ERR unknown command `HELLO`\r\n")
	c.inject()
	c.passes("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n") // GET's answer: nothing is subscribed
	c.hides("+OK\r\n")
	c.send("UNSUBSCRIBE", "SUBSCRIBE a") // HELLO is not tried again
	c.want(reauth.Subscribed)
	c.passes("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n")
	c.passes("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	c.want(reauth.Subscribed)
}

func TestRESP2SubscriberIsServedInRESP3(t *testing.T) {
	c := newChat(t)
	c.ours(hello3, "SUBSCRIBE a")
	c.want(reauth.Subscribed) // HELLO may be refused
	c.hides("%1\r\n+proto\r\n:3\r\n")
	c.inject()
	rewritten := func(from, to string) {
		t.Helper()
		if got := c.recv(from); got != to {
			t.Fatalf("client saw %q of %q, want %q", got, from, to)
		}
	}
	rewritten(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	c.hides("+OK\r\n")
	c.answer(accepted)
	payload := strings.Repeat("x", 1000) + "\r\n_\r\n:"
	message := fmt.Sprintf("3\r\n$7\r\nmessage\r\n$1\r\na\r\n$%d\r\n%s\r\n", len(payload), payload)
	rewritten(">"+message, "*"+message)
	c.send("PING", "PING hello")
	rewritten("+PONG\r\n$5\r\nhello\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$5\r\nhello\r\n")
	c.send("PUNSUBSCRIBE")
	rewritten(">"+message+">3\r\n$12\r\npunsubscribe\r\n_\r\n:1\r\n", "*"+message+"*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:1\r\n")
	rewritten(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n")
	rewritten(">2\r\n$10\r\ninvalidate\r\n_\r\n", "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n")

	// Any other command is the server's to refuse, as it does in RESP2.
	c.ours(hello2, "GET a")
	rewritten(">"+message, "*"+message)
	c.hides("*2\r\n+proto\r\n:2\r\n")
	c.passes("-ERR Can't execute 'get'\r\n*" + message)
	c.want(reauth.Subscribed)
	c.send("UNSUBSCRIBE")
	c.passes("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")
	c.want(reauth.None)

	// And again, down to an ordinary connection.
	c.ours(hello3, "PSUBSCRIBE p")
	c.send("PUNSUBSCRIBE", "PING")
	c.ours(hello2, "LRANGE l 0 -1")
	c.hides("%0\r\n")
	rewritten(">3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n>3\r\n$12\r\npunsubscribe\r\n$1\r\np\r\n:0\r\n+PONG\r\n",
		"*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n*3\r\n$12\r\npunsubscribe\r\n$1\r\np\r\n:0\r\n+PONG\r\n")
	c.hides("*0\r\n")
	c.passes("*-1\r\n")
	c.inject()
}

func TestNoUpgradeBehindClientTracking(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT TRACKING ON", "SUBSCRIBE a")
}

func TestShardSubscriberLosesItsSlot(t *testing.T) {
	c := newChat(t)
	c.ours(hello3, "SSUBSCRIBE a")
	c.hides("-NOPERM no\r\n")
	c.passes("*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
	c.want(reauth.Subscribed)
	c.passes("*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n") // unasked
	c.want(reauth.None)
}

func TestRefusedSubscription(t *testing.T) {
	c := newChat(t)
	c.ours(hello3, "SUBSCRIBE a b c")
	c.hides("%0\r\n")
	c.passes("-NOPERM no\r\n")
	c.inject()
	c.hides("+OK\r\n")
	c.ours(hello2, "GET a")
}

func TestClientReplyOff(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY OFF", "SET a 1")
	c.inject()
	c.answer(reauth.Answer{OK: true, Unseen: true})
	c.send("SET b 1", "CLIENT REPLY ON", "GET a")
	c.passes("+OK\r\n")
	c.passes("$1\r\n1\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

func TestClientReplyOffRefused(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY OFF", "SET a 1")
	c.inject()
	c.send("GET a")
	c.passes("-NOPERM no permissions to run the 'client' command\r\n+OK\r\n")
	c.hides("+OK\r\n")
	c.passes("$1\r\n1\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

func TestClientReplySkip(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY SKIP")
	c.want(reauth.SkipsReply)
	c.send("SET a 1")
	c.inject()
	c.send("GET a")
	c.hides("+OK\r\n")
	c.passes("$1\r\n1\r\n")

	c.send("CLIENT REPLY SKIP", "SET a 1")
	c.inject()
	c.send("LPUSH a 1")
	c.hides("-WRONGPASS x\r\n")
	c.passes("-WRONGTYPE x\r\n")

	c.send("CLIENT REPLY SKIP", "SET a 1", "LPUSH a 1")
	c.passes("-WRONGTYPE x\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

func TestClientReplySkipIsSpentOnAnEmptyCommand(t *testing.T) {
	for _, empty := range []string{"\r\n", "*0\r\n", "*-1\r\n"} {
		c := newChat(t)
		c.send("CLIENT REPLY SKIP")
		c.step([]byte(empty), false)
		c.send("GET a")
		c.inject()
		c.passes("$1\r\n1\r\n")
		c.hides("+OK\r\n")
	}
}

func TestClientReplySkipBeforeASubscriptionChange(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3", "CLIENT REPLY SKIP", "SET a 1")
	c.passes("%0\r\n")
	c.inject()
	c.send("UNSUBSCRIBE", "GET a")
	c.hides("+OK\r\n")
	c.passes(">3\r\n+unsubscribe\r\n_\r\n:0\r\n$1\r\n1\r\n")
	c.send("CLIENT REPLY SKIP", "SET a 1", "UNSUBSCRIBE")
	c.passes(">3\r\n+unsubscribe\r\n_\r\n:0\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

func TestClientReplySkipRefused(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY SKIP", "SET a 1")
	c.inject()
	c.passes("-NOPERM this user has no permissions to run the 'client' command or its subcommand\r\n+OK\r\n")
	c.hides("+OK\r\n")
	c.send("CLIENT REPLY SKIP", "MULTI")
	c.want(reauth.Unfollowable)
}

func TestResetIsFollowedByAuth(t *testing.T) {
	c := newChat(t)
	b := append(resp.AppendCommand(nil, "RESET"), resp.AppendCommand(nil, "GET", "a")...)
	c.send("HELLO 3", "SUBSCRIBE a")
	c.passes("%0\r\n>3\r\n+subscribe\r\n+a\r\n:1\r\n")
	step := c.step(b, false)
	if step.Send != len(resp.AppendCommand(nil, "RESET")) || !step.Auth {
		t.Fatalf("got %+v, want AUTH right behind RESET", step)
	}
	c.Injected()
	c.step(b[step.Send:], false)
	c.passes(">3\r\n+message\r\n+a\r\n+1\r\n+RESET\r\n")
	c.hides("+OK\r\n")
	c.passes("$-1\r\n")
	c.ours(hello3, "SUBSCRIBE a") // RESP2 again
}

func TestBlockedIsDeferred(t *testing.T) {
	for _, cmd := range []string{"BLPOP a 0", "brpop a 0", "XREAD COUNT 1 BLOCK 0 STREAMS s $", "XREADGROUP GROUP BLOCK block BLOCK 0 STREAMS s >", "WAIT 1 0"} {
		c := newChat(t)
		c.send(cmd)
		c.want(reauth.Blocked)
		c.passes("*-1\r\n")
		c.want(reauth.None)
	}
	for _, cmd := range []string{"XREAD STREAMS block 0", "XREADGROUP GROUP block BLOCK STREAMS s >", "LPOP a"} {
		c := newChat(t)
		c.send(cmd)
		c.want(reauth.None)
	}
	c := newChat(t)
	c.send("MULTI", "BLPOP a 0", "EXEC")
	c.passes("+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n")
	c.want(reauth.None)
}

func TestMonitorIsDeferredUntilReset(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR")
	c.want(reauth.Monitoring)
	c.passes("+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n")
	c.send("PING")
	c.passes("+1339518083.1 [0 lua] \"x\"\r\n+PONG\r\n")
	c.want(reauth.Monitoring)
	c.step(resp.AppendCommand(nil, "RESET"), false)
	c.Injected()
	c.passes("+1339518084.1 [0 lua] \"x\"\r\n+RESET\r\n")
	c.hides("+OK\r\n")
	c.want(reauth.None)
	c.send("MONITOR")
	c.passes("-NOPERM no\r\n")
	c.want(reauth.None)
}

func TestClientAuthenticatesItself(t *testing.T) {
	c := newChat(t)
	c.send("AUTH u p")
	c.want(reauth.ClientsOwn)
	c.passes("-WRONGPASS x\r\n")
	c.want(reauth.None)
	c.send("HELLO 3 AUTH u p SETNAME n")
	c.want(reauth.ClientsOwn)
	c.passes("%0\r\n")
	c.want(reauth.ClientsOwn)
}

func TestStreamsThatEnd(t *testing.T) {
	c := newChat(t)
	c.send("GET a")
	c.inject()
	c.send("QUIT")
	c.want(reauth.Quitting)
	c.passes("$-1\r\n")
	c.hides("+OK\r\n")
	c.passes("+OK\r\n")

	c = newChat(t)
	c.inject()
	c.send("PSYNC ? -1")
	c.want(reauth.Replicating)
	c.hides("+OK\r\n")
	c.passes("+FULLRESYNC x 0\r\n$EOF:garbage\x00\xff")

	c = newChat(t)
	c.inject()
	if step := c.step([]byte("*x\r\nwhatever"), true); step.Send != 12 {
		t.Fatalf("malformed: got %+v, want all of it passed on", step)
	}
	c.want(reauth.Unfollowable)
	c.hides("+OK\r\n")
	c.passes("-ERR Protocol error: invalid multibulk length\r\n")

	c = newChat(t)
	c.Broken()
	c.want(reauth.Unfollowable)
}

func TestServerThatIsNotRESP(t *testing.T) {
	c := newChat(t)
	c.send("GET a")
	if _, _, err := c.Server([]byte("HTTP/1.1 400 Bad Request\r\n")); err == nil {
		t.Fatal("got no error")
	}
}

func TestRepliesDueAreBounded(t *testing.T) {
	c := newChat(t)
	c.inject()
	pair := append(resp.AppendCommand(nil, "GET", "a"), resp.AppendCommand(nil, "WAIT", "0", "0")...)
	for range 1 << 20 {
		c.step(pair, false)
	}
	c.want(reauth.Unfollowable)
	c.hides("+OK\r\n")
	c.passes("$-1\r\n:0\r\n")
}

func TestNothingIsKeptOfWhatIsNotAnswered(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY OFF")
	for range 1 << 20 {
		c.step([]byte("MULTI\r\nSET a 1\r\nEXEC\r\n"), false)
	}
	c.send("CLIENT REPLY ON")
	c.passes("+OK\r\n")
}

func TestManyPlainCommandsAreOneEntry(t *testing.T) {
	c := newChat(t)
	many := strings.Repeat(string(resp.AppendCommand(nil, "GET", "a")), 100_000)
	c.step([]byte(many), false)
	c.inject()
	if got := c.recv(strings.Repeat("$-1\r\n", 100_000) + "+OK\r\n"); got != strings.Repeat("$-1\r\n", 100_000) {
		t.Fatal("replies and our answer were mixed up")
	}
	c.answer(accepted)
}
