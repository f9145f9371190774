package reauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// blocked is a chat whose clock stands still unless it is moved, and in which
// no command may block for longer than a minute.
type blocked struct {
	*chat
	now time.Time
	out string // what goes to the server
	b   []byte // what is held back
}

func newBlocked(t *testing.T) *blocked {
	c := &blocked{chat: newChat(t), now: time.Unix(1e9, 0)}
	c.Block = func() (time.Time, time.Duration) { return c.now, time.Minute }
	return c
}

// write gives the tracker bytes of the client.
func (c *blocked) write(raw string) {
	c.t.Helper()
	p := append(c.b, raw...)
	c.b = nil
	for {
		step := c.Client(p, false)
		c.out += string(p[:step.Send]) + string(step.Insert)
		p = p[step.Send+step.Skip:]
		switch {
		case step.Hold:
			c.b = p
			return
		case step.Insert == nil && step.Skip == 0 && len(p) == 0:
			return
		}
	}
}

func (c *blocked) command(line string) {
	c.t.Helper()
	c.write(string(resp.AppendCommand(nil, strings.Fields(line)...)))
}

// sent checks what has gone to the server since, a command a line.
func (c *blocked) sent(lines ...string) {
	c.t.Helper()
	if c.Ready() {
		c.write("")
	}
	var want []byte
	for _, l := range lines {
		want = resp.AppendCommand(want, strings.Fields(l)...)
	}
	if c.out != string(want) {
		c.t.Fatalf("went out: %q, want %q", c.out, want)
	}
	c.out = ""
}

func TestBlockingCommandsAreShortened(t *testing.T) {
	for _, tt := range []struct{ command, first, second, early, final string }{
		{"BLPOP a b 0", "BLPOP a b 60", "BLPOP a b 60", "*-1\r\n", "*2\r\n$1\r\nb\r\n$1\r\n1\r\n"},
		{"blpop a 60.5", "blpop a 60", "blpop a 0.5", "*-1\r\n", "*-1\r\n"},
		{"BRPOP a 90", "BRPOP a 60", "BRPOP a 30", "_\r\n", "_\r\n"},
		{"BLMOVE a b LEFT RIGHT 0.0", "BLMOVE a b LEFT RIGHT 60", "BLMOVE a b LEFT RIGHT 60", "$-1\r\n", "$3\r\nabc\r\n"},
		{"BRPOPLPUSH a b 120", "BRPOPLPUSH a b 60", "BRPOPLPUSH a b 60", "*-1\r\n", "$0\r\n\r\n"},
		{"BLMPOP 0 1 a LEFT", "BLMPOP 60 1 a LEFT", "BLMPOP 60 1 a LEFT", "*-1\r\n", "*2\r\n$1\r\na\r\n*1\r\n$1\r\nx\r\n"},
		{"BZPOPMIN a 100", "BZPOPMIN a 60", "BZPOPMIN a 40", "*-1\r\n", "*3\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\n1\r\n"},
		{"BZPOPMAX a 0", "BZPOPMAX a 60", "BZPOPMAX a 60", "*-1\r\n", "-WRONGTYPE x\r\n"},
		{"BZMPOP 70 1 a MIN", "BZMPOP 60 1 a MIN", "BZMPOP 10 1 a MIN", "*-1\r\n", "*-1\r\n"},
		{"XREAD COUNT 2 BLOCK 0 STREAMS a 5-0", "XREAD COUNT 2 BLOCK 60000 STREAMS a 5-0", "XREAD COUNT 2 BLOCK 60000 STREAMS a 5-0", "*-1\r\n", "*1\r\n*0\r\n"},
		{"xreadgroup GROUP g block NOACK BLOCK 60001 STREAMS a >", "xreadgroup GROUP g block NOACK BLOCK 60000 STREAMS a >", "xreadgroup GROUP g block NOACK BLOCK 1 STREAMS a >", "*-1\r\n", "-NOGROUP x\r\n"},
		{"WAIT 2 0", "WAIT 2 60000", "WAIT 2 60000", ":1\r\n", ":2\r\n"},
		{"WAITAOF 1 1 90000", "WAITAOF 1 1 60000", "WAITAOF 1 1 30000", "*2\r\n:1\r\n:0\r\n", "*2\r\n:1\r\n:1\r\n"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			c := newBlocked(t)
			c.command(tt.command)
			c.command("GET k")
			c.sent(tt.first)
			c.want(reauth.Blocked)
			c.now = c.now.Add(time.Minute)
			c.hides(tt.early)
			if !c.ClientWaits() {
				t.Error("client does not wait, in between")
			}
			c.inject()
			c.sent(tt.second)
			c.hides("+OK\r\n")
			c.now = c.now.Add(time.Minute)
			c.passes(tt.final)
			c.sent("GET k")
			c.passes("$-1\r\n")
			c.inject()
		})
	}
}

func TestBlockingCommandsThatGoOutAsTheyAre(t *testing.T) {
	for _, tt := range []struct{ name, before, answer, command string }{
		{"shorter", "", "", "BLPOP a 60"},
		{"negative", "", "", "BLPOP a -1"},
		{"no number", "", "", "BLPOP a x"},
		{"a number that Redis may not take", "", "", "BLPOP a 1e3"},
		{"leading dot", "", "", "BLPOP a .5"},
		{"trailing dot", "", "", "BLPOP a 99."},
		{"out of range", "", "", "BLPOP a 999999999999"},
		{"too long", "", "", "BLPOP a 0000000000000"},
		{"a float where Redis takes none", "", "", "WAIT 1 0.0"},
		{"leading zero where Redis takes none", "", "", "XREAD BLOCK 00 STREAMS a 0"},
		{"no arguments", "", "", "BLPOP"},
		{"no arguments of XREAD", "", "", "XREAD BLOCK"},
		{"keys without IDs", "", "", "XREAD BLOCK 0 STREAMS a b 0"},
		{"two time-outs", "", "", "XREAD BLOCK 0 BLOCK 0 STREAMS a 0"},
		{"an unknown option", "", "", "XREAD BLOCK 0 NOACK STREAMS a 0"},
		{"does not block", "", "", "XREAD COUNT 1 STREAMS a 0"},
		{"in a transaction", "MULTI", "+OK\r\n", "BLPOP a 0"},
		{"in doubt of one", "MULTI", "", "BLPOP a 0"},
		{"unseen", "CLIENT REPLY OFF", "", "BLPOP a 0"},
		{"skipped", "CLIENT REPLY SKIP", "", "BLPOP a 0"},
		{"behind ASKING", "ASKING", "+OK\r\n", "BLPOP a 0"},
		{"of a client that authenticates itself", "AUTH a b", "", "BLPOP a 0"},
		{"of a client that has authenticated itself", "AUTH a b", "+OK\r\n", "BLPOP a 0"},
		{"of a monitor", "MONITOR", "", "BLPOP a 0"},
		{"very long", "", "", "BLPOP " + strings.Repeat("key ", 10<<10) + "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newBlocked(t)
			if tt.before != "" {
				c.command(tt.before)
				c.recv(tt.answer)
				c.sent(tt.before)
			}
			c.command(tt.command)
			c.command("GET k")
			c.sent(tt.command, "GET k")
		})
	}
}

func TestUnblockedFromElsewhere(t *testing.T) {
	c := newBlocked(t)
	c.command("BLPOP a 0")
	c.sent("BLPOP a 60")
	c.now = c.now.Add(59 * time.Second)
	c.passes("*-1\r\n") // CLIENT UNBLOCK id
	c.command("BLPOP a 0")
	c.sent("BLPOP a 60")
	c.now = c.now.Add(time.Minute)
	c.passes("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
	c.command("WAIT 1 0")
	c.sent("WAIT 1 60000")
	c.passes(":0\r\n")
	c.command("PING")
	c.sent("PING")
}

// The time-out of the last turn is the client's, however early its nil comes.
func TestLastTurn(t *testing.T) {
	c := newBlocked(t)
	c.command("BLPOP a 61")
	c.sent("BLPOP a 60")
	c.now = c.now.Add(60*time.Second - 5*time.Millisecond) // the clocks differ a little
	c.hides("*-1\r\n")
	c.sent("BLPOP a 1.005")
	c.passes("*-1\r\n")
	c.inject()
	c.hides("+OK\r\n")
	c.command("BLPOP a 61")
	c.sent("BLPOP a 60")
	c.now = c.now.Add(60*time.Second + 100*time.Nanosecond)
	c.hides("*-1\r\n")
	c.sent("BLPOP a 1") // not 0.999
}

// The client's time was over before the first turn could begin.
func TestLateFirstTurn(t *testing.T) {
	c := newBlocked(t)
	c.command("XREAD BLOCK 61000 STREAMS a $")
	c.sent("XREVRANGE a + - COUNT 1")
	c.now = c.now.Add(2 * time.Minute)
	c.hides("*0\r\n")
	c.sent("XREAD BLOCK 1 STREAMS a 0-0")
	c.passes("*-1\r\n")
}

// A nil that comes when the client's own time is over, too, is the client's.
func TestLateNil(t *testing.T) {
	c := newBlocked(t)
	c.command("BLPOP a 90")
	c.sent("BLPOP a 60")
	c.now = c.now.Add(90 * time.Second)
	c.passes("*-1\r\n")
}

func TestBlockedInPieces(t *testing.T) {
	c := newBlocked(t)
	all := "GET k\r\n" + string(resp.AppendCommand(nil, "BLPOP", "a", "0")) + "blpop b 0\r\n" + string(resp.AppendCommand(nil, "GET", "k"))
	for i := range len(all) {
		c.write(all[i : i+1])
	}
	if want := "GET k\r\n"; !strings.HasPrefix(c.out, want) {
		t.Fatalf("went out: %q", c.out)
	}
	c.out = c.out[len("GET k\r\n"):]
	c.sent("BLPOP a 60")
	c.passes("$1\r\nv\r\n")
	c.now = c.now.Add(time.Minute)
	c.hides("*-1\r\n")
	c.sent("BLPOP a 60")
	c.passes("*2\r\n$1\r\na\r\n$100000\r\n" + strings.Repeat("x", 100000) + "\r\n")
	c.sent("blpop b 60") // inline
	c.passes("*2\r\n$1\r\nb\r\n$1\r\nx\r\n")
	c.sent("GET k")
}

func TestPushesWhileBlocked(t *testing.T) {
	c := newBlocked(t)
	c.command("HELLO 3")
	c.passes("%0\r\n")
	c.command("SUBSCRIBE c")
	c.passes(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
	c.command("BLPOP a 0")
	c.sent("HELLO 3", "SUBSCRIBE c", "BLPOP a 60")
	const message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
	c.passes(message)
	c.now = c.now.Add(time.Minute)
	c.hides("_\r\n")
	c.passes(message)
	c.sent("BLPOP a 60")
	c.passes(message + "*2\r\n$1\r\na\r\n$1\r\nx\r\n")
}

func TestNewestEntryIsLookedUp(t *testing.T) {
	const none, entry = "*0\r\n", "*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nf\r\n$3\r\nval\r\n"
	c := newBlocked(t)
	c.command("XREAD BLOCK 0 STREAMS a b c $ 1-1 $")
	c.command("GET k")
	c.sent("XREVRANGE a + - COUNT 1", "XREVRANGE c + - COUNT 1")
	c.hides(entry)
	c.hides(none)
	c.sent("XREAD BLOCK 60000 STREAMS a b c 5-1 1-1 0-0")
	c.now = c.now.Add(time.Minute)
	c.hides("*-1\r\n")
	c.sent("XREAD BLOCK 60000 STREAMS a b c 5-1 1-1 0-0")
	c.passes("*1\r\n*2\r\n$1\r\na\r\n*0\r\n")
	c.sent("GET k")
	c.passes("$-1\r\n")

	// A long entry, and what the client may not read.
	c.command("XREAD BLOCK 0 STREAMS a b $ $")
	c.sent("XREVRANGE a + - COUNT 1", "XREVRANGE b + - COUNT 1")
	c.hides("*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nf\r\n$100000\r\n" + strings.Repeat("x", 100000) + "\r\n")
	c.hides("-NOPERM this user has no permissions to run the 'xrevrange' command\r\n")
	c.sent("XREAD BLOCK 0 STREAMS a b $ $")
	c.want(reauth.Blocked)
	c.passes("*-1\r\n")
	c.inject()
}

// To look the entry up would have the stream tracked.
func TestNoLookUpWhereReadsAreTracked(t *testing.T) {
	c := newBlocked(t)
	c.command("CLIENT TRACKING ON")
	c.command("XREAD BLOCK 0 STREAMS a $")
	c.sent("CLIENT TRACKING ON", "XREAD BLOCK 0 STREAMS a $")
	c.want(reauth.Blocked)
}

// An AUTH may go out between looking up and reading.
func TestAuthWhileLookingUp(t *testing.T) {
	c := newBlocked(t)
	c.command("XREAD BLOCK 0 STREAMS a $")
	c.sent("XREVRANGE a + - COUNT 1")
	c.inject()
	c.hides("*0\r\n")
	c.want(reauth.InFlight)
	c.sent("XREAD BLOCK 60000 STREAMS a 0-0")
	c.hides("+OK\r\n")
	c.want(reauth.Blocked)
}

// The error of an unknown command quotes its arguments, so the client has to
// get the one about its own.
func TestBlockingCommandThatIsUnknown(t *testing.T) {
	c := newBlocked(t)
	c.command("BLMPOP 0 1 a LEFT")
	c.sent("BLMPOP 60 1 a LEFT")
	c.hides("-ERR unknown command 'BLMPOP', with args beginning with: '60' '1' 'a' 'LEFT' \r\n")
	c.sent("BLMPOP 0 1 a LEFT")
	c.passes("-ERR unknown command 'BLMPOP', with args beginning with: '0' '1' 'a' 'LEFT' \r\n")
	c.command("GET k")
	c.sent("GET k")
}
