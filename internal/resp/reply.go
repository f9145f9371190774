package resp

import "bytes"

// maxStreams bounds how deep RESP3's streamed aggregates may nest.
const maxStreams = 8

// Replies finds the boundaries of the frames in a server's byte stream: every
// type of RESP2 and RESP3, streamed strings and aggregates included. An
// attribute belongs to the frame that it precedes. The zero value stands
// before the first frame. It must not be copied while in use, and is not safe
// for concurrent use.
type Replies struct {
	state replyState
	kind  byte // of the element whose header or payload is being read
	typ   byte // of the frame's own element, attributes apart
	num   number
	// due counts elements still to come before the frame (or, inside a
	// streamed aggregate, anything) ends. One counter is enough for any depth:
	// an aggregate of n elements is itself one, and brings n.
	due     int64
	skip    int64 // payload bytes still to come, CRLF included
	elem    int64 // index of the element last begun: 0 is the frame's own, -1 still in an attribute
	streams [maxStreams]int64
	nested  int

	line    [128]byte // the header line of the frame's own element
	lineLen int
	first   [maxKeptBytes]byte // payload of the first element of an aggregate
	firstN  int
	lastInt int64
	chunks  bool // inside a streamed string
}

type replyState uint8

const (
	atFrame replyState = iota
	atElement
	inLine
	inNumber
	afterLine
	afterNumber
	inReplyPayload
	afterPayload
	inPayloadLF
)

// streamed marks due inside a streamed aggregate, which only '.' ends.
const streamed = 1 << 61

// AtBoundary reports whether the stream stands between two frames.
func (r *Replies) AtBoundary() bool { return r.state == atFrame }

// Type is the frame's first byte ('+', '-', '>', ...), that of an attribute
// before it apart.
func (r *Replies) Type() byte { return r.typ }

// Line is the frame's own header line without its type and CRLF, cut at 128
// bytes: the text of a simple string or error.
func (r *Replies) Line() []byte { return r.line[:r.lineLen] }

// First is the payload of the first element of an aggregate frame, cut at 32
// bytes: the kind of a push. (An attribute inside the frame counts as its
// elements here; pushes hold none.)
func (r *Replies) First() []byte { return r.first[:r.firstN] }

// LastInt is the value of the last integer in the frame: the number of
// subscriptions in the confirmation of one.
func (r *Replies) LastInt() int64 { return r.lastInt }

// Next consumes bytes of b up to the end of the frame that b continues or
// begins. It returns how many it consumed and whether they end a frame; if
// not, they are all of b. After an error the scanner is of no further use.
func (r *Replies) Next(b []byte) (n int, done bool, err error) {
	for n < len(b) {
		switch r.state {
		case atFrame:
			if k, _ := r.Run(b[n:], 1, maxLength); k > 0 {
				return n + k, true, nil
			}
			r.state = atElement
		case atElement:
			if err := r.begin(b[n]); err != nil {
				return n, false, err
			}
			n++
		case inLine:
			k := bytes.IndexByte(b[n:], '\r')
			if k < 0 {
				r.keepLine(b[n:])
				return len(b), false, nil
			}
			r.keepLine(b[n : n+k])
			n += k + 1
			r.state = afterLine
		case inNumber:
			var c byte
			for n < len(b) {
				c = b[n]
				n++
				if c == '\r' {
					r.state = afterNumber
					break
				}
				if !r.addNumber(c) {
					return n, false, errReplyHeader
				}
			}
		case afterLine:
			if b[n] != '\n' {
				return n, false, errReplyEnd
			}
			n++
			if r.ended() {
				return n, true, nil
			}
		case afterNumber:
			if b[n] != '\n' {
				return n, false, errReplyEnd
			}
			n++
			done, err := r.sized()
			if err != nil || done {
				return n, done, err
			}
		case inReplyPayload:
			k := min(r.skip, int64(len(b)-n))
			if r.elem == 1 {
				r.firstN += copy(r.first[r.firstN:], b[n:n+int(k)])
			}
			n += int(k)
			if r.skip -= k; r.skip == 0 {
				r.state = afterPayload
			}
		case afterPayload:
			if b[n] != '\r' {
				return n, false, errReplyEnd
			}
			n++
			r.state = inPayloadLF
		case inPayloadLF:
			if b[n] != '\n' {
				return n, false, errReplyEnd
			}
			n++
			if r.chunks {
				r.state = atElement
				continue
			}
			if r.ended() {
				return n, true, nil
			}
		}
	}
	return n, false, nil
}

// replyOK is what most commands that write are answered.
const replyOK = "+OK\r\n"

// whole reads a frame of the types that most replies have, if it is all in b.
// It returns its length, or 0 where the rest of Next has to look, which tells
// what is malformed from what is not complete.
func (r *Replies) whole(b []byte) int {
	var end int
	switch b[0] {
	case '$':
		v, k := shortHeader(b[1:])
		end = 1 + k + 1 + int(v) + 2
		if k == 0 || end > len(b) || b[1+k] != '\n' || b[end-2] != '\r' || b[end-1] != '\n' {
			return 0
		}
	case ':':
		v, k := shortHeader(b[1:])
		end = 1 + k + 1
		if k == 0 || b[end-1] != '\n' {
			return 0
		}
		r.lastInt = v
	case '+':
		if len(b) >= len(replyOK) && string(b[:len(replyOK)]) == replyOK {
			r.typ, r.lineLen = '+', copy(r.line[:], "OK")
			return len(replyOK)
		}
		k := bytes.IndexByte(b, '\r')
		end = k + 2
		if k < 0 || end > len(b) || b[end-1] != '\n' {
			return 0
		}
		r.lineLen = copy(r.line[:], b[1:k])
	default:
		return 0
	}
	r.typ = b[0]
	return end
}

// Run is Next for up to most frames of the types that most replies have, as far
// as they are all in b and have no more bytes than largest. It returns how many
// bytes and frames it consumed, which may be none. The stream must stand between
// two frames.
func (r *Replies) Run(b []byte, most int, largest int64) (n, frames int) {
	r.due, r.elem, r.nested, r.firstN, r.chunks = 1, -1, 0, 0, false
	for ; n < len(b) && frames < most; frames++ {
		r.typ, r.lineLen, r.lastInt = 0, 0, 0
		k := r.whole(b[n:])
		if k == 0 || int64(k) > largest {
			break
		}
		n += k
	}
	return n, frames
}

// begin reads the type byte of an element.
func (r *Replies) begin(c byte) error {
	if r.chunks != (c == ';') {
		return errReplyHeader // inside a streamed string only chunks may come
	}
	r.kind = c
	r.num = number{}
	switch c {
	case '+', '-', ',', '#', '(', '_':
		r.state = inLine
	case ':', '$', '=', '!', '*', '~', '>', '%', '|', ';', '.':
		r.state = inNumber
	default:
		return errReplyHeader
	}
	switch {
	case c == '|' || c == ';' || c == '.':
	case r.elem >= 0:
		r.elem++
	case r.due == 1 && r.nested == 0: // behind the elements of an attribute
		r.elem, r.typ, r.lastInt = 0, c, 0
	}
	return nil
}

func (r *Replies) keepLine(b []byte) {
	switch r.elem {
	case 0:
		r.lineLen += copy(r.line[r.lineLen:], b)
	case 1:
		r.firstN += copy(r.first[r.firstN:], b)
	}
}

// addNumber takes one byte of a sized header; '?' announces a stream and '.'
// has no number at all.
func (r *Replies) addNumber(c byte) bool {
	if c == '?' && r.kind != ':' && r.num == (number{}) {
		r.num.digits = -1
		return true
	}
	if r.kind == ':' {
		// Integers may have 19 digits and a plus: more than a length has.
		return r.num.add(c) || c >= '0' && c <= '9' || c == '+'
	}
	return r.kind != '.' && r.num.digits >= 0 && r.num.add(c)
}

// sized runs when the header of an element that carries a number is complete.
func (r *Replies) sized() (done bool, err error) {
	if r.num.digits < 0 {
		return false, r.stream()
	}
	if r.kind == '.' {
		if r.nested == 0 {
			return false, errReplyHeader
		}
		r.nested--
		r.due = r.streams[r.nested]
		return r.settle(), nil
	}
	v, ok := r.num.get()
	if !ok && r.kind != ':' {
		return false, errReplyHeader
	}
	switch r.kind {
	case ':':
		r.lastInt = v
		return r.ended(), nil
	case '$', '=', '!':
		if v == -1 && r.kind == '$' {
			return r.ended(), nil
		}
		return false, r.payload(v)
	case ';':
		if v == 0 {
			r.chunks = false
			return r.ended(), nil
		}
		return false, r.payload(v)
	}
	if v > maxCount || v < -1 || v == -1 && r.kind != '*' {
		return false, errReplyHeader
	}
	if r.kind == '%' || r.kind == '|' {
		v *= 2
	}
	// Inside another frame a push is no element of it: Redis 7.0 puts the
	// message of a PUBLISH that EXEC runs in front of its reply there.
	if r.kind == '|' || r.kind == '>' && r.elem != 0 {
		r.due += max(v, 0)
		r.state = atElement
		return false, nil
	}
	r.due += max(v, 0)
	return r.ended(), nil
}

func (r *Replies) payload(n int64) error {
	if n < 0 || n > maxLength {
		return errReplyHeader
	}
	r.skip = n
	r.state = inReplyPayload
	if n == 0 {
		r.state = afterPayload
	}
	return nil
}

// stream begins a streamed string or aggregate.
func (r *Replies) stream() error {
	r.state = atElement
	switch r.kind {
	case '$':
		r.chunks = true
	case '*', '~', '%', '>':
		if r.nested == maxStreams {
			return errReplyNested
		}
		r.streams[r.nested] = r.due - 1
		r.nested++
		r.due = streamed
	default:
		return errReplyHeader
	}
	return nil
}

// ended runs when an element other than an attribute is complete.
func (r *Replies) ended() bool {
	r.due--
	return r.settle()
}

func (r *Replies) settle() bool {
	if r.due == 0 {
		r.state = atFrame
		return true
	}
	r.state = atElement
	return false
}
