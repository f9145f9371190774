package resp

import "io"

// DefaultLimit is the largest command or frame a [Reader] holds, in bytes:
// Redis's own default bound of a bulk string and some room for the rest.
const DefaultLimit = 513 << 20

// Reader reads whole commands or whole frames from a stream, for those who
// need them in one piece. It is not safe for concurrent use. It buffers ahead;
// what it has not handed out is lost with it.
type Reader struct {
	// Limit bounds one command or frame, in bytes; 0 means DefaultLimit.
	Limit int

	src      io.Reader
	buf      []byte
	from, to int // buf[from:to] is read and not handed out
	err      error
	requests Requests
	replies  Replies
	args     [][]byte
}

// NewReader returns a Reader of src, which it never closes.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Buffered is the number of bytes read ahead.
func (r *Reader) Buffered() int { return r.to - r.from }

// ReadCommand returns the arguments of the next command, an array or an inline
// one; empty commands are skipped, as Redis does. They are valid until the
// next call. Malformed input is a *[ProtocolError], whose text is what Redis
// answers behind "-ERR "; the stream ending inside a command is
// io.ErrUnexpectedEOF, between two io.EOF.
func (r *Reader) ReadCommand() ([][]byte, error) {
	raw, err := r.next(&r.requests)
	for err == nil && r.requests.Args() == 0 {
		raw, err = r.next(&r.requests)
	}
	if err != nil {
		return nil, err
	}
	r.args = r.args[:0]
	if raw[0] != '*' {
		args, _ := splitInline(trimLine(raw))
		return args, nil
	}
	n, raw := cutNumber(raw[1:])
	for range n {
		var size int
		size, raw = cutNumber(raw[1:])
		r.args = append(r.args, raw[:size:size])
		raw = raw[size+2:]
	}
	return r.args, nil
}

// ReadFrame returns the raw bytes of the next frame, attributes included,
// valid until the next call. Its errors are those of [Reader.ReadCommand].
func (r *Reader) ReadFrame() ([]byte, error) {
	return r.next(&r.replies)
}

type scanner interface {
	Next([]byte) (n int, done bool, err error)
	AtBoundary() bool
	Ahead() int64
}

func (r *Reader) next(s scanner) ([]byte, error) {
	limit := r.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	seen := 0 // bytes of buf[from:] that scan knows
	for {
		n, done, err := s.Next(r.buf[r.from+seen : r.to])
		seen += n
		switch {
		case err != nil:
			return nil, err
		case int64(seen)+s.Ahead() > int64(limit):
			return nil, ErrTooLarge
		case done:
			b := r.buf[r.from : r.from+seen]
			r.from += seen
			return b, nil
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && !s.AtBoundary() {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads once more behind what is buffered.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	if r.from == r.to && len(r.buf) > 1<<20 {
		r.buf, r.from, r.to = nil, 0, 0 // one large value must not hold memory for the connection's life
	}
	if r.from > 0 {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	if r.to == len(r.buf) {
		r.buf = append(r.buf, make([]byte, max(4096, len(r.buf)))...)
	}
	n, err := r.src.Read(r.buf[r.to:])
	r.to += n
	r.err = err
	if n > 0 {
		return nil
	}
	return err
}

// trimLine is the first line of raw without its end.
func trimLine(raw []byte) []byte {
	for i, c := range raw {
		if c == '\n' {
			if i > 0 && raw[i-1] == '\r' {
				i--
			}
			return raw[:i]
		}
	}
	return raw
}

// cutNumber reads a header's number, which the scanner has checked, and
// returns what follows its CRLF.
func cutNumber(raw []byte) (n int, rest []byte) {
	i, neg := 0, false
	for ; raw[i] != '\r'; i++ {
		if raw[i] == '-' {
			neg = true
			continue
		}
		n = n*10 + int(raw[i]-'0')
	}
	if neg {
		n = -n
	}
	return n, raw[i+2:]
}

// Rest returns the bytes read ahead. The Reader must not be used afterwards.
func (r *Reader) Rest() []byte {
	if r.from == r.to {
		return nil
	}
	return r.buf[r.from:r.to]
}
