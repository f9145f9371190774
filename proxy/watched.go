package proxy

import (
	"net"
	"sync"
)

// maxWatched bounds what is read of a client that waits for its upstream, in
// bytes.
const maxWatched = 64 << 10

// watched reads from a client that waits for its upstream, so that it is seen
// when the client leaves. What came is had with Read, and then what comes.
type watched struct {
	net.Conn
	ended chan struct{} // closed when no more will come

	mu      sync.Mutex // guards the rest; never held across I/O
	data    []byte     // read, and not had
	err     error      // behind data
	reading bool       // Read was called: watch need read no more
	through bool       // watch does not
	changed chan struct{}
}

func watch(c net.Conn) *watched {
	w := &watched{Conn: c, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	go w.watch()
	return w
}

func (w *watched) watch() {
	b := make([]byte, smallBuffer)
	for through := false; !through; {
		n, err := w.Conn.Read(b)
		w.mu.Lock()
		w.data = append(w.data, b[:n]...)
		if err != nil {
			w.err = err
			close(w.ended)
		}
		through = err != nil || w.reading || len(w.data) >= maxWatched
		w.through = through
		w.mu.Unlock()
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// Read waits for the read that is under way, rather than to end it with a
// deadline: that could undo the one with which the client is ended.
func (w *watched) Read(p []byte) (int, error) {
	for {
		w.mu.Lock()
		w.reading = true
		n := copy(p, w.data)
		w.data = w.data[n:]
		err, through := w.err, w.through
		if through && len(w.data) == 0 {
			w.data = nil
		}
		w.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case err != nil:
			return 0, err
		case through:
			return w.Conn.Read(p)
		}
		<-w.changed
	}
}
