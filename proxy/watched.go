package proxy

import (
	"net"
	"sync/atomic"
)

// maxWatched bounds what is read of a client that waits for its upstream, in
// bytes.
const maxWatched = 64 << 10

// watched reads from a client that waits for its upstream, so that it is seen
// when the client leaves. What came is had with Read, and then what comes.
type watched struct {
	net.Conn
	ended chan struct{} // closed when no more will come

	reading atomic.Bool   // Read was called
	through chan struct{} // closed when the two below are whole
	data    []byte
	err     error
}

func watch(c net.Conn) *watched {
	w := &watched{Conn: c, ended: make(chan struct{}), through: make(chan struct{})}
	go w.watch()
	return w
}

func (w *watched) watch() {
	defer close(w.through)
	b := make([]byte, smallBuffer)
	for len(w.data) < maxWatched && !w.reading.Load() {
		n, err := w.Conn.Read(b)
		w.data = append(w.data, b[:n]...)
		if err != nil {
			w.err = err
			close(w.ended)
			return
		}
	}
}

// Read waits for the read that is under way: no deadline has to end it, and
// none that ends the client is disturbed.
func (w *watched) Read(p []byte) (int, error) {
	w.reading.Store(true)
	<-w.through
	if len(w.data) > 0 {
		n := copy(p, w.data)
		if w.data = w.data[n:]; len(w.data) == 0 {
			w.data = nil
		}
		return n, nil
	}
	if w.err != nil {
		return 0, w.err
	}
	return w.Conn.Read(p)
}
