package entraredis

import (
	"net"
	"sync"
	"time"
)

// deadlines keeps a client's deadlines apart from those of our own reads and
// writes on the same connection. The zero value with conn set is ready.
type deadlines struct {
	conn net.Conn

	mu                sync.Mutex // guards the rest
	read, write       time.Time  // the client's
	ownRead, ownWrite bool       // ours are in force
	moved             chan struct{}
}

func (d *deadlines) setRead(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = t
	if d.moved != nil {
		close(d.moved)
		d.moved = nil
	}
	if d.ownRead {
		return nil
	}
	return d.conn.SetReadDeadline(t)
}

func (d *deadlines) setWrite(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write = t
	if d.ownWrite {
		return nil
	}
	return d.conn.SetWriteDeadline(t)
}

// takeRead puts a deadline of ours in force for reads, until the function
// returned is called.
func (d *deadlines) takeRead(t time.Time) (giveBack func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ownRead = true
	d.conn.SetReadDeadline(t)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ownRead = false
		d.conn.SetReadDeadline(d.read)
	}
}

// takeWrite is takeRead for writes.
func (d *deadlines) takeWrite(t time.Time) (giveBack func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ownWrite = true
	d.conn.SetWriteDeadline(t)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ownWrite = false
		d.conn.SetWriteDeadline(d.write)
	}
}

// watchRead returns the client's read deadline and a channel that is closed
// when it is set anew.
func (d *deadlines) watchRead() (time.Time, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moved == nil {
		d.moved = make(chan struct{})
	}
	return d.read, d.moved
}
