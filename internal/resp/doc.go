// Package resp finds where commands and replies end in the Redis serialization
// protocol: RESP2, RESP3 and inline commands.
//
// [Requests] and [Replies] are incremental: they are fed chunks as they come
// from a connection, never keep what they were fed, and do not allocate on
// the common path. [Reader] reads whole commands and whole frames for callers
// that want them in one piece.
//
// The grammar is that of redis.io "Redis serialization protocol
// specification"; where a client's bytes are concerned, the tolerance is that
// of a Redis server (networking.c, processMultibulkBuffer and
// processInlineBuffer), because both must agree on where a command ends.
package resp

// ProtocolError says that bytes are not RESP. Its text is the one a Redis
// server answers with, without the leading "-ERR ".
type ProtocolError struct{ Text string }

func (e *ProtocolError) Error() string { return e.Text }

const (
	// maxInline is Redis's PROTO_INLINE_MAX_SIZE: the longest inline command
	// and the longest header line, in bytes.
	maxInline = 64 << 10
	// maxCount bounds the elements one header may announce: Redis's INT_MAX.
	maxCount = 1<<31 - 1
	// maxLength bounds one bulk payload, in bytes. Redis's own bound
	// (proto-max-bulk-len) can be configured; this one only keeps the sums
	// below from overflowing.
	maxLength = 1 << 48
)

var (
	errMultibulk   = &ProtocolError{"Protocol error: invalid multibulk length"}
	errBulk        = &ProtocolError{"Protocol error: invalid bulk length"}
	errInline      = &ProtocolError{"Protocol error: too big inline request"}
	errQuotes      = &ProtocolError{"Protocol error: unbalanced quotes in request"}
	errReplyHeader = &ProtocolError{"Protocol error: invalid reply header"}
	errReplyEnd    = &ProtocolError{"Protocol error: reply without CRLF"}
	errReplyNested = &ProtocolError{"Protocol error: reply nested too deep"}
)

// ErrTooLarge is the error of a [Reader] whose Limit is exceeded.
var ErrTooLarge = &ProtocolError{"Protocol error: larger than the reader's limit"}

// number accumulates the decimal integer of a header line, as strict as
// Redis's string2ll: an optional minus sign, no plus, no leading zero.
type number struct {
	value  int64
	digits int8
	neg    bool
}

func (n *number) add(c byte) bool {
	switch {
	case c >= '0' && c <= '9':
		if n.digits == 18 || n.digits > 0 && n.value == 0 {
			return false
		}
		n.digits++
		n.value = n.value*10 + int64(c-'0')
	case c == '-':
		if n.neg || n.digits > 0 {
			return false
		}
		n.neg = true
	default:
		return false
	}
	return true
}

func (n *number) get() (int64, bool) {
	if n.digits == 0 || n.neg && n.value == 0 {
		return 0, false
	}
	if n.neg {
		return -n.value, true
	}
	return n.value, true
}

// shortHeader reads the rest of a header line whose number is neither negative
// nor long, up to its CR: nearly every one. It returns 0 bytes of any other,
// and of one that is not all in b, LF included.
func shortHeader(b []byte) (v int64, n int) {
	for n < len(b) && n < 10 {
		c := b[n]
		if c == '\r' && n > 0 && n+1 < len(b) {
			return v, n + 1
		}
		c -= '0'
		if c > 9 || v == 0 && n > 0 {
			return 0, 0
		}
		v = v*10 + int64(c)
		n++
	}
	return 0, 0
}
