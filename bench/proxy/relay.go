package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay carries bytes to an address, as a network does, and as badly as it is told to.
type relay struct {
	to    string
	l     net.Listener
	delay atomic.Int64 // of every chunk, in nanoseconds

	mu    sync.Mutex
	conns map[*relayed]struct{}
}

// relayed is one connection through a relay.
type relayed struct {
	ends [2]net.Conn
	held atomic.Bool // carries nothing any longer, and does not say so
	gone chan struct{}
	once sync.Once
}

func startRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{to: to, l: l, conns: map[*relayed]struct{}{}}
	go r.accept()
	return r, nil
}

func (r *relay) addr() string { return r.l.Addr().String() }

func (r *relay) accept() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return // closed
		}
		go r.serve(c)
	}
}

func (r *relay) serve(c net.Conn) {
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = c.Close()
		return
	}
	rc := &relayed{ends: [2]net.Conn{c, up}, gone: make(chan struct{})}
	r.mu.Lock()
	r.conns[rc] = struct{}{}
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { r.carry(rc, c, up) })
	both.Go(func() { r.carry(rc, up, c) })
	both.Wait()
	r.mu.Lock()
	delete(r.conns, rc)
	r.mu.Unlock()
}

func (r *relay) carry(rc *relayed, from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if rc.held.Load() {
			<-rc.gone
			return
		}
		if n > 0 {
			if d := time.Duration(r.delay.Load()); d > 0 {
				time.Sleep(d)
			}
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			rc.end()
			return
		}
	}
}

func (rc *relayed) end() {
	rc.once.Do(func() {
		close(rc.gone)
		_ = rc.ends[0].Close()
		_ = rc.ends[1].Close()
	})
}

// hold lets nothing through on the connections that there are, and returns what ends them.
func (r *relay) hold() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*relayed
	for rc := range r.conns {
		rc.held.Store(true)
		all = append(all, rc)
	}
	return func() {
		for _, rc := range all {
			rc.end()
		}
	}
}

// close ends everything. It may be called on nil.
func (r *relay) close() {
	if r == nil {
		return
	}
	_ = r.l.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for rc := range r.conns {
		rc.end()
	}
}
