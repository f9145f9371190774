package proxy

import (
	"context"
	"net"
	"time"
)

// maxWatched bounds what is read of a client that waits for its upstream, in
// bytes.
const maxWatched = 64 << 10

// watched reads from a client that waits for its upstream, so that it is seen
// when the client leaves.
type watched struct {
	net.Conn
	ended chan struct{} // closed when no more will come
	data  chan []byte   // what has come, once nobody reads any more
}

func watch(c net.Conn) *watched {
	w := &watched{Conn: c, ended: make(chan struct{}), data: make(chan []byte, 1)}
	go w.watch()
	return w
}

func (w *watched) watch() {
	var data []byte
	b := make([]byte, smallBuffer)
	for len(data) < maxWatched {
		n, err := w.Conn.Read(b)
		data = append(data, b[:n]...)
		if err != nil {
			close(w.ended)
			break
		}
	}
	w.data <- data
}

// stop returns what has come. ctx is that of the client.
func (w *watched) stop(ctx context.Context) []byte {
	w.Conn.SetReadDeadline(past)
	data := <-w.data
	w.Conn.SetReadDeadline(time.Time{})
	if ctx.Err() != nil {
		w.Conn.SetDeadline(past) // which this may just have undone
	}
	return data
}
