package proxy

import (
	"io"
	"sync"
)

// What a connection reads into: little while it is idle, much while it
// carries much.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// buffer is one that follows in size what comes. The zero value is ready;
// release must follow.
type buffer struct {
	small []byte
	large *[largeBuffer]byte
	last  int // bytes that came last
}

// read returns what comes next, valid until the next call. It returns bytes
// or an error, never both.
func (b *buffer) read(r io.Reader) ([]byte, error) {
	switch {
	case b.large == nil && b.last == smallBuffer:
		b.large = largeBuffers.Get().(*[largeBuffer]byte)
	case b.large != nil && b.last < smallBuffer:
		b.release()
	}
	into := b.small
	if b.large != nil {
		into = b.large[:]
	} else if into == nil {
		b.small = make([]byte, smallBuffer)
		into = b.small
	}
	n, err := r.Read(into)
	b.last = n
	switch {
	case n > 0:
		return into[:n], nil // an error comes again
	case err == nil:
		return nil, io.ErrNoProgress
	}
	return nil, err
}

func (b *buffer) release() {
	if b.large != nil {
		largeBuffers.Put(b.large)
		b.large = nil
	}
}
