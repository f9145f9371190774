package reauth

import (
	"math"

	"github.com/entraredis/entraredis/internal/resp"
)

const noLimit = math.MaxInt64

// Limit bounds one command of the client's and one reply to it, pushes and
// messages included, in bytes from the first to the last; 0 is no bound.
//
// Of a command that is larger, as soon as that is known, Client drops what it
// is given, and all behind it. At a reply that is larger Server ends with a
// *[resp.LimitError], in front of what it was given of it. See TooLarge.
func (t *Tracker) Limit(command, reply int64) {
	t.maxCommand, t.maxReply = noLimit, noLimit
	if command > 0 {
		t.maxCommand = command
	}
	if reply > 0 {
		t.maxReply = reply
	}
}

// TooLarge says what was larger than its limit; nil if nothing was. Nothing
// more goes out to the server from then on.
func (t *Tracker) TooLarge() *resp.LimitError { return t.over }

// Due reports whether something is still to come that is the client's: a reply
// for certain, or the rest of a frame.
func (t *Tracker) Due() bool { return t.ClientWaits() || !t.replies.AtBoundary() }

// refuse drops the command that begins at start, or that has begun before b.
func (t *Tracker) refuse(b []byte, start int) Step {
	t.over = &resp.LimitError{What: "command", Max: t.maxCommand, Mute: t.stopped != None}
	t.stop(Unfollowable)
	start = max(start, 0)
	return Step{Send: start, Skip: len(b) - start}
}

// pass is Client for what is no longer followed: b[n:], which begins where the
// last command was left. But for the limit it goes out as it is.
func (t *Tracker) pass(b []byte, n int) Step {
	switch {
	case t.over != nil:
		return Step{Skip: len(b)}
	case t.maxCommand == noLimit || t.stopped == Quitting:
		return Step{Send: len(b)}
	}
	t.requests.Keep = nil
	for start := -1; n < len(b); {
		if t.requests.AtBoundary() {
			start, t.commandSize = n, 0
		}
		k, _, err := t.requests.Next(b[n:])
		if err != nil {
			t.maxCommand = noLimit // the server reads no further
			break
		}
		n += k
		if t.commandSize += int64(k); t.commandSize+t.requests.Ahead() > t.maxCommand {
			return t.refuse(b, start)
		}
	}
	return Step{Send: len(b)}
}

// exceeds notes that the frame being read is larger than a reply may be; begins
// says that it was begun just now. It reports false if the frame is ours.
func (t *Tracker) exceeds(begins bool) bool {
	if t.verdict == Swallow || t.queue.awaits(lookup) {
		return false
	}
	given := !begins && t.verdict != Hold
	t.over = &resp.LimitError{What: "reply", Max: t.maxReply, Mute: given || t.pushing && t.ClientWaits()}
	t.stop(Unfollowable)
	return true
}
