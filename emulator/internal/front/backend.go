package front

import (
	"bytes"
	"net"
)

// frame passes one frame from the backend on.
func (c *conn) frame(l *leg, f []byte) {
	c.mu.Lock()
	d := l.take(f)
	switch {
	case d == nil:
		c.out.write(f)
	case d.answer != nil:
		d.answer <- bytes.Clone(f)
	case !d.mute:
		c.out.write(f)
	}
	if d != nil && d.queued != nil {
		d.queued.ok = string(f) == "+QUEUED\r\n"
	}
	abandon := c.gone && c.blocking()
	c.mu.Unlock()
	c.cond.Broadcast()
	if abandon {
		c.kill("client has gone")
	}
}

// blocking reports whether the reply due next is one the backend may take any
// time for. The mutex is held.
func (c *conn) blocking() bool {
	for _, l := range c.legs {
		if len(l.due) > 0 && l.due[0].block {
			return true
		}
	}
	return false
}

// forward sends a command to the backend. It reports false when the connection
// has ended.
func (c *conn) forward(l *leg, args [][]byte, d *due) bool {
	c.mu.Lock()
	l.due = append(l.due, d)
	abandon := c.gone && c.blocking()
	c.mu.Unlock()
	if abandon {
		c.kill("client has gone")
		return false
	}
	if err := l.send(args); err != nil {
		c.kill("backend: " + err.Error())
		return false
	}
	return true
}

func (c *conn) flush() bool {
	for _, l := range []*leg{c.main, c.sub} {
		if l == nil {
			continue
		}
		if err := l.w.Flush(); err != nil {
			c.kill("backend: " + err.Error())
			return false
		}
	}
	return true
}

// drain waits until the backend owes nothing. It reports false when the
// connection has ended.
func (c *conn) drain() bool {
	if !c.flush() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && c.owed() {
		c.cond.Wait()
	}
	return !c.closed
}

func (c *conn) owed() bool {
	for _, l := range c.legs {
		if len(l.due) > 0 {
			return true
		}
	}
	return false
}

// ask puts a question of our own to the backend.
func (c *conn) ask(l *leg, words ...string) ([]byte, bool) {
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	d := &due{answer: make(chan []byte, 1)}
	if !c.forward(l, args, d) || !c.drain() {
		return nil, false
	}
	return <-d.answer, true
}

// openLeg connects to the backend.
func (c *conn) openLeg() (*leg, error) {
	nc, err := c.s.cfg.Backend(c.ctx)
	if err != nil {
		return nil, err
	}
	l := newLeg(c, nc)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		nc.Close()
		return nil, net.ErrClosed
	}
	c.legs = append(c.legs, l)
	c.wg.Go(l.read)
	return l, nil
}

// retire closes every leg.
func (c *conn) retire() {
	c.mu.Lock()
	legs := c.legs
	c.legs = nil
	for _, l := range legs {
		l.retired = true
	}
	c.mu.Unlock()
	for _, l := range legs {
		l.nc.Close()
		<-l.done
	}
	c.main, c.sub = nil, nil
}

func (c *conn) backendEnded(l *leg, err error) {
	c.mu.Lock()
	expected := l.retired || c.closed
	c.mu.Unlock()
	if expected {
		return
	}
	c.log.Warn("backend closed the connection", "error", err)
	c.out.finish()
	<-c.out.done
	c.kill("backend closed the connection")
}
