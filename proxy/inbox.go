package proxy

import (
	"net"
	"sync"
)

// maxRequest bounds the commands that travel over a pipe, in bytes. A longer
// one has an upstream of its own, so that it holds up nobody.
const maxRequest = 64 << 10

// inbox is what was read from a client and not dealt with. It holds no memory
// while it is empty. The zero value is ready; release must follow.
type inbox struct {
	buf      []byte
	from, to int
}

var smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}

func getSmall() []byte { return smallBuffers.Get().(*[smallBuffer]byte)[:] }

func put(b []byte) {
	switch cap(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(b[:largeBuffer]))
	}
}

func (i *inbox) bytes() []byte { return i.buf[i.from:i.to] }

func (i *inbox) skip(n int) { i.from += n }

// set puts bytes in, which are kept.
func (i *inbox) set(b []byte) { i.buf, i.from, i.to = b, 0, len(b) }

// hold puts a copy of b in, where nothing is.
func (i *inbox) hold(b []byte) {
	i.release()
	switch {
	case len(b) <= smallBuffer:
		i.buf = getSmall()
	case len(b) <= largeBuffer:
		i.buf = largeBuffers.Get().(*[largeBuffer]byte)[:]
	default:
		i.buf = make([]byte, len(b))
	}
	i.to = copy(i.buf, b)
}

func (i *inbox) release() {
	put(i.buf)
	*i = inbox{}
}

// fill reads once more, behind what there is. s may be nil.
func (i *inbox) fill(c net.Conn, s *socket) error {
	if i.from == i.to {
		full := i.to == smallBuffer
		i.release()
		if full { // more is likely to be there
			i.buf = largeBuffers.Get().(*[largeBuffer]byte)[:]
		}
	}
	if i.buf == nil {
		if s != nil {
			b, err := s.read(getSmall, put)
			if err != nil {
				return err
			}
			i.buf, i.to = b[:cap(b)], len(b)
			return nil
		}
		i.buf = getSmall()
	}
	n, err := c.Read(i.room())
	i.add(n)
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// room returns where more may be put, behind what there is; add takes it in.
func (i *inbox) room() []byte {
	if i.from > 0 {
		i.to = copy(i.buf, i.buf[i.from:i.to])
		i.from = 0
	}
	if i.to == len(i.buf) {
		larger := largeBuffers.Get().(*[largeBuffer]byte)[:]
		if len(i.buf) >= largeBuffer {
			larger = make([]byte, 2*len(i.buf))
		}
		copy(larger, i.buf)
		put(i.buf)
		i.buf = larger
	}
	return i.buf[i.to:]
}

func (i *inbox) add(n int) { i.to += n }
