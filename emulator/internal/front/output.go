package front

import (
	"net"
	"sync"
)

// output sends replies to the client. It holds as much as the client leaves
// unread, as Redis does: were it to block, a client that writes a long
// pipeline before it reads would stop the whole chain.
type output struct {
	nc   net.Conn
	done chan struct{} // closed when run has returned

	mu        sync.Mutex
	cond      *sync.Cond
	buf       []byte
	finishing bool
	dead      bool
}

func newOutput(nc net.Conn) *output {
	o := &output{nc: nc, done: make(chan struct{})}
	o.cond = sync.NewCond(&o.mu)
	return o
}

func (o *output) write(b []byte) {
	o.mu.Lock()
	if !o.dead {
		o.buf = append(o.buf, b...)
	}
	o.mu.Unlock()
	o.cond.Signal()
}

// run writes until finish and everything is written, kill, or an error.
func (o *output) run() {
	defer close(o.done)
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.buf) == 0 && !o.finishing && !o.dead {
			o.cond.Wait()
		}
		b := o.buf
		o.buf = spare[:0]
		dead := o.dead
		o.mu.Unlock()
		if len(b) == 0 || dead {
			return
		}
		if _, err := o.nc.Write(b); err != nil {
			o.kill()
			return
		}
		if spare = b; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

// finish lets run end once everything is written.
func (o *output) finish() {
	o.mu.Lock()
	o.finishing = true
	o.mu.Unlock()
	o.cond.Signal()
}

func (o *output) kill() {
	o.mu.Lock()
	o.dead, o.buf = true, nil
	o.mu.Unlock()
	o.cond.Signal()
}
