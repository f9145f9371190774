package reauth

import (
	"bytes"
	"strconv"
)

// maxLookup is how much is read of the answer to XREVRANGE: the ID is in the
// first bytes of it.
const maxLookup = 96

// Ready reports whether Client is to be called again with what it held back,
// even if that is nothing: a blocking command is to be sent again, or has been
// answered, so that what stood behind it may go.
func (t *Tracker) Ready() bool {
	if t.block != nil {
		return t.block.pending()
	}
	return t.withheld
}

// Withholds reports whether the client's bytes wait behind a blocking command.
func (t *Tracker) Withholds() bool { return t.block != nil && !t.block.pending() }

// holdsReply reports whether the reply to the block that begins with c may be
// one to swallow.
func (t *Tracker) holdsReply(c byte) bool {
	switch c {
	case '-', '_', '*', '$', ':':
		return !t.block.last
	}
	return false
}

// holdReply goes on with a reply to the block of which t.held holds all that
// has come, n bytes of it just now.
func (t *Tracker) holdReply(n int, done bool, err error) (int, Verdict, error) {
	if err == nil && !done && t.block.undecided(t.held) {
		return n, Hold, nil
	}
	t.verdict = Pass
	switch {
	case err != nil || !done:
	case t.isEarly():
		t.held = nil
		t.blocking--
		t.queue.pop()
	default:
		t.ended()
	}
	return n, Swallow, err // what TakeHeld returns stands for them
}

// undecided reports whether what begins with held may still be an early end:
// an error, a nil, or the counts of WAIT and WAITAOF.
func (b *block) undecided(held []byte) bool {
	switch held[0] {
	case '-':
		return len(held) < maxHeld
	case '*', '$':
		return len(held) < 2 || held[1] == '-' || b.waits() && len(held) < maxRewritten
	}
	return len(held) < maxRewritten
}

// waits reports whether the command is WAIT or WAITAOF, which answer with
// counts.
func (b *block) waits() bool {
	return bytes.EqualFold(b.args[0][:min(4, len(b.args[0]))], []byte("WAIT"))
}

// isEarly reports whether the reply in t.held, which is complete, is not the
// client's, and says what is to be sent instead.
func (t *Tracker) isEarly() bool {
	b := t.block
	if bytes.HasPrefix(t.held, []byte("-ERR unknown command")) {
		b.state = asIs // it quotes the arguments
		return true
	}
	switch now, _ := t.Block(); {
	case !b.unfinished(t.held):
		return false
	case now.Before(b.early):
		return false // CLIENT UNBLOCK
	case !b.until.IsZero() && b.until.Sub(now) < shortest:
		return false // its own time has come
	}
	b.state = ready
	return true
}

// unfinished reports whether a reply says that the block ended without what it
// waited for.
func (b *block) unfinished(reply []byte) bool {
	switch string(reply) {
	case "*-1\r\n", "$-1\r\n", "_\r\n":
		return true
	}
	if !b.waits() {
		return false
	}
	wanted := b.args[1:b.timeout]
	for l := range bytes.SplitSeq(reply, []byte("\r\n")) {
		count, ok := bytes.CutPrefix(l, []byte(":"))
		if !ok {
			continue
		}
		if len(wanted) == 0 {
			return false
		}
		got, _ := strconv.Atoi(string(count))
		if want, err := strconv.Atoi(string(wanted[0])); err == nil && got < want {
			return true
		}
		wanted = wanted[1:]
	}
	return false
}

// holdLookup goes on with the answer to an XREVRANGE of ours.
func (t *Tracker) holdLookup(n int, done bool, err error) (int, Verdict, error) {
	if len(t.held) > maxLookup {
		t.held = t.held[:maxLookup]
	}
	if err == nil && !done {
		return n, Hold, nil
	}
	b := t.block
	if b == nil { // see Broken
		t.held, t.verdict = nil, Pass
		t.queue.pop()
		return n, Swallow, err
	}
	if id := lastID(t.held); id != nil {
		b.args[b.lookups[0]] = id
	} else {
		b.lookedUp = asIs // not permitted, not a stream, elsewhere: the client is to be told so
	}
	b.lookups = b.lookups[1:]
	t.held, t.verdict = nil, Pass
	t.queue.pop()
	if len(b.lookups) == 0 {
		b.state = b.lookedUp
	}
	return n, Swallow, err
}

// lastID returns the ID in the answer to XREVRANGE key + - COUNT 1, of which
// b is the beginning; nil if that is an error.
func lastID(b []byte) []byte {
	if string(b) == "*0\r\n" {
		return []byte("0-0")
	}
	rest, ok := bytes.CutPrefix(b, []byte("*1\r\n*2\r\n$"))
	_, rest, ok2 := bytes.Cut(rest, []byte("\r\n"))
	id, _, ok3 := bytes.Cut(rest, []byte("\r\n"))
	if !ok || !ok2 || !ok3 {
		return nil
	}
	return bytes.Clone(id)
}
