package reauth

import (
	"bytes"
	"strconv"

	"github.com/entraredis/entraredis/internal/resp"
)

// To a RESP2 subscriber Redis refuses AUTH. So the upstream leg of one speaks
// RESP3 from before the first subscription: HELLO 3 goes out in front of it,
// and what comes is rewritten to the form the client expects. Before any
// command that is none of pub/sub's, HELLO 2 goes out: from there on the
// server itself does what it does to a RESP2 client, refusing the command if
// subscriptions stand.

// wantsSwitch says which protocol upstream has to speak before the command
// t.command, of that name; 0 if it is right as it is.
func (t *Tracker) wantsSwitch(name []byte) int {
	switch t.command.kind {
	case subscribe:
		if t.upgradable() {
			return 3
		}
	case unsubscribe, ping:
	case clientAuth:
		if t.upgraded && t.Authenticate == nil {
			return 2
		}
	default:
		if t.upgraded && string(name) != "QUIT" {
			return 2
		}
	}
	return 0
}

// upgradable reports whether HELLO 3 may go out: the client speaks RESP2,
// nothing stands in the way of an answer, and nothing is subscribed yet (a
// RESP2 subscriber is refused HELLO too). A client that uses CLIENT TRACKING
// would get invalidations in RESP3 that it does not get in RESP2.
func (t *Tracker) upgradable() bool {
	return !t.upgraded && !t.noUpgrade && !t.tracking && t.hello == 0 && t.seenProto == 2 &&
		!t.multi && !t.off && !t.skipNext && !t.monitors() && t.subOpen == 0 && !t.seenSubs.any()
}

// switchUpstream returns the HELLO to send, and expects its reply.
func (t *Tracker) switchUpstream() []byte {
	t.upgraded = t.switchTo == 3
	t.hello++
	t.queue.push(entry{kind: ownHello, n: t.switchTo})
	b := resp.AppendCommand(nil, "HELLO", strconv.Itoa(t.switchTo))
	t.switchTo = 0
	return b
}

// translates reports whether upstream speaks RESP3, at this point of its
// stream, to a client that expects RESP2.
func (t *Tracker) translates() bool { return t.seenProto == 3 && t.clientProto == 2 }

// maxRewritten bounds what is held of a frame to rewrite: what differs in more
// than its first byte is either shorter or differs in this part of it.
const maxRewritten = 64

// rewrites reports whether the frame that begins with b may differ in RESP2
// in more than the first byte of a push.
func (t *Tracker) rewrites(b []byte) bool {
	if !t.translates() {
		return false
	}
	if t.pushing {
		// Invalidations have two elements; the end of a subscription that never
		// was holds a null.
		return len(b) < 2 || b[1] == '2' || t.queue.awaits(unsubscribe)
	}
	return t.queue.awaits(ping) && t.seenSubs.any() && b[0] != '-'
}

// rewrite goes on with a frame of which t.held holds all that has come, n
// bytes of it just now.
func (t *Tracker) rewrite(n int, done bool, err error) (int, Verdict, error) {
	if err == nil && !done && len(t.held) < maxRewritten {
		return n, Hold, nil
	}
	t.rewriting, t.verdict = false, Pass
	if t.pushing && !t.seenSubs.any() && bytes.HasPrefix(t.held, []byte(invalidation)) {
		// In RESP2 only subscribers get those that others redirect to them.
		t.held, t.verdict = nil, Swallow
	}
	if t.noting {
		t.note(bytes.Clone(t.held), done)
	}
	t.held = t.rewritten(t.held)
	if done {
		t.ended()
		t.frame = nil
	}
	return n, Swallow, err // what TakeHeld returns stands for them
}

// invalidation is how an invalidation begins in RESP3.
const invalidation = ">2\r\n$10\r\ninvalidate\r\n"

// rewritten returns a frame, or the beginning of a long one, in RESP2.
func (t *Tracker) rewritten(b []byte) []byte {
	switch {
	case len(b) == 0:
		return nil
	case t.pushing && bytes.HasPrefix(b, []byte(invalidation)):
		// To the connection it redirects to, Redis sends a message.
		rest := b[len(invalidation):]
		if string(rest) == "_\r\n" {
			rest = []byte("$-1\r\n")
		}
		return append([]byte("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"), rest...)
	case t.pushing:
		b[0] = '*'
		for _, name := range []string{"$11\r\nunsubscribe", "$12\r\npunsubscribe", "$12\r\nsunsubscribe"} {
			if rest, ok := bytes.CutPrefix(b, []byte("*3\r\n"+name+"\r\n_\r\n")); ok {
				return append([]byte("*3\r\n"+name+"\r\n$-1\r\n"), rest...)
			}
		}
		return b
	case bytes.Equal(b, []byte("+PONG\r\n")):
		return []byte("*2\r\n$4\r\npong\r\n$0\r\n\r\n")
	}
	return append([]byte("*2\r\n$4\r\npong\r\n"), b...)
}
