package reauth

import (
	"bytes"

	"github.com/entraredis/entraredis/internal/resp"
)

// Sign says what a [Veil] has come past.
type Sign uint8

// The signs. The frames of the last six are ours, and kept from the client.
const (
	Part      Sign = iota // of a frame that goes on
	Message               // of any channel
	Confirmed             // a subscription or its end: see Veil.Last
	Failed                // an error line that answers nothing of ours
	Other
	Entered // to the marker
	Left    // from the marker
	Marked  // a message on the marker's channel
	Matched // the same by a pattern, or what came for an earlier marker
	Ponged
	Refused // an error line for the oldest command of ours: see Veil.Last
)

// maxVeiled is more than any frame of ours has, in bytes: a message by a
// pattern holds that pattern.
const maxVeiled = maxNames + 4<<10

// MarkerPrefix is what the names of our channels begin with.
const MarkerPrefix = "entraredis:handover:"

// Veil keeps from a RESP2 subscriber the replies to commands of ours that may
// go out only when nothing is due to the client: SUBSCRIBE and UNSUBSCRIBE of
// a marker, which is a channel with a name nobody else knows, and PING with
// that name; and the messages on such channels. It begins between two frames.
// The zero value is not ready: see [NewVeil]. It is not safe for concurrent
// use.
type Veil struct {
	marker  string
	frames  resp.Replies
	held    []byte // a frame that may be ours
	through bool   // the present frame is too long for that
	due     []Sign // replies to ours, oldest first
	last    string
	total   int64
	doubt   bool
}

// NewVeil returns a Veil for the marker of that name.
func NewVeil(marker string) *Veil { return &Veil{marker: marker} }

// Use goes on with another marker. What comes for those before is still hidden.
func (v *Veil) Use(marker string) { v.marker = marker }

// Expect records a command of ours that is sent behind those before it: its
// reply is Entered, Left or Ponged, or an error line.
func (v *Veil) Expect(reply Sign) { v.due = append(v.due, reply) }

// Doubt says that messages on the marker's channel may still come by a
// pattern when all of ours has been answered.
func (v *Veil) Doubt() { v.doubt = true }

// Doubtful reports whether Doubt was called.
func (v *Veil) Doubtful() bool { return v.doubt }

// Over reports whether nothing of ours is to come any more.
func (v *Veil) Over() bool { return len(v.due) == 0 && !v.doubt }

// Last is what the last Confirmed began with, or the line of the last Refused
// or Failed without its '-'.
func (v *Veil) Last() string { return v.last }

// Total is how many channels and patterns the last confirmation counted.
func (v *Veil) Total() int64 { return v.total }

// Next takes bytes of b, up to the end of a frame or all of them, and returns
// how many, and what of the stream is not ours: a part of b, or what was held
// before with it.
func (v *Veil) Next(b []byte) (n int, out []byte, sign Sign, err error) {
	n, done, err := v.frames.Next(b)
	out = b[:n]
	if !v.through && (len(v.held) > 0 || !done) {
		v.held = append(v.held, out...)
		out = v.held
	}
	switch {
	case err != nil:
		return n, v.flushed(out), Other, err
	case !done && !v.through && len(v.held) <= maxVeiled:
		return n, nil, Part, nil
	case !done:
		v.through, v.held = true, nil
		return n, out, Part, nil
	}
	frame := out
	if v.through {
		frame = nil
	}
	v.through, v.held = false, nil
	if sign = v.sign(frame); sign >= Entered {
		out = nil
	}
	return n, out, sign, nil
}

func (v *Veil) flushed(b []byte) []byte {
	v.held = nil
	return b
}

// Flush returns what is held of a frame that has not ended. The Veil must not
// be used afterwards.
func (v *Veil) Flush() []byte { return v.flushed(v.held) }

// sign tells what the frame that has ended is; it is nil if it was too long to
// be kept.
func (v *Veil) sign(frame []byte) Sign {
	switch v.frames.Type() {
	case '-':
		v.last = string(v.frames.Line())
		if len(v.due) == 0 {
			return Failed
		}
		v.due = v.due[1:]
		return Refused
	case '*':
	default:
		return Other
	}
	parts, _ := cutArray(frame)
	is := func(i int) bool { return i < len(parts) && string(parts[i]) == v.marker }
	ours := func(i int) bool { return i < len(parts) && bytes.HasPrefix(parts[i], []byte(MarkerPrefix)) }
	kind := string(v.frames.First())
	switch kind {
	case "message":
		switch {
		case is(1):
			return Marked
		case ours(1):
			return Matched
		}
		return Message
	case "pmessage":
		if ours(2) {
			return Matched
		}
		return Message
	case "smessage":
		return Message
	case "pong":
		switch {
		case !ours(1) || !v.answers(Ponged):
		case is(1):
			return Ponged
		default:
			return Matched
		}
	case "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe":
		v.last, v.total = kind, v.frames.LastInt()
		switch {
		case !ours(1):
		case kind == "subscribe" && v.answers(Entered):
			if !is(1) {
				return Matched
			}
			return Entered
		case kind == "unsubscribe" && v.answers(Left):
			if !is(1) {
				return Matched
			}
			return Left
		}
		return Confirmed
	}
	return Other
}

// answers reports whether that reply is due next, and takes it from those due.
func (v *Veil) answers(reply Sign) bool {
	if len(v.due) == 0 || v.due[0] != reply {
		return false
	}
	v.due = v.due[1:]
	return true
}
