package resp

import "strconv"

// LimitError says that a command or a reply is larger than may be.
type LimitError struct {
	What string // "command" or "reply"
	Max  int64  // bytes

	// Mute: the client cannot be told, since it has a part of the reply, or
	// since it is not known what it takes the next line for.
	Mute bool
}

func (e *LimitError) Error() string {
	return e.What + " of more than " + strconv.FormatInt(e.Max, 10) + " bytes (--max-" + e.What + ")"
}

// The fewest bytes that an argument ("$0\r\n\r\n") and an element ("_\r\n") have.
const (
	leastArg     = 6
	leastElement = 3
)

// Ahead is how many bytes more the command that has begun has at least, by what
// its headers have said; 0 between two commands.
func (r *Requests) Ahead() int64 {
	switch r.state {
	case atBulk:
		return leastArg * r.due
	case inLength, afterLength:
		return leastArg * (r.due - 1)
	case inPayload:
		return leastArg*r.due + r.skip
	}
	return 0
}

// Ahead is how many bytes more the frame that has begun has at least, by what
// its headers have said; 0 between two frames.
func (r *Replies) Ahead() (n int64) {
	switch r.state {
	case atFrame:
		return 0
	case atElement:
		n = leastElement
	case inReplyPayload:
		n = r.skip + 2
	case inLine, inNumber, afterPayload:
		n = 2
	case afterLine, afterNumber, inPayloadLF:
		n = 1
	}
	if r.nested == 0 { // else due counts what only its end will tell
		n += leastElement * (r.due - 1)
	}
	return n
}
