package emulator

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// newPipe returns the two ends of a connection in this process. Unlike
// net.Pipe it buffers, as sockets do: with an unbuffered one a client that
// writes a long pipeline before it reads would never finish.
func newPipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &pipeEnd{in: down, out: up}, &pipeEnd{in: up, out: down}
}

// pipeBuffer is about what a kernel buffers of a loopback connection.
const pipeBuffer = 256 << 10

// stream is one direction.
type stream struct {
	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	data    []byte
	written bool // the writer closed
	gone    bool // the reader closed
	read    deadline
	write   deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// deadline wakes those who wait when its time comes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (s *stream) setDeadline(d *deadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), s.wake)
	}
	s.changed.Broadcast()
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			s.changed.Broadcast()
			return n, nil
		case s.written:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.written:
			return n, net.ErrClosed
		case s.gone:
			return n, io.ErrClosedPipe
		case s.write.passed():
			return n, os.ErrDeadlineExceeded
		}
		if room := pipeBuffer - len(s.data); room > 0 {
			m := min(room, len(p)-n)
			s.data = append(s.data, p[n:n+m]...)
			n += m
			s.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		s.changed.Wait()
	}
}

// close ends the stream from one side and leaves no timer behind.
func (s *stream) close(side *bool, d *deadline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*side = true
	if d.timer != nil {
		d.timer.Stop()
	}
	s.changed.Broadcast()
}

type pipeEnd struct{ in, out *stream }

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.Write(b) }

func (p *pipeEnd) Close() error {
	p.out.close(&p.out.written, &p.out.write)
	p.in.close(&p.in.gone, &p.in.read)
	return nil
}

func (p *pipeEnd) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.setDeadline(&p.in.read, t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.setDeadline(&p.out.write, t)
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "emulator" }

func (p *pipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (p *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }
