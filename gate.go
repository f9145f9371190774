package entraredis

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// gate lets one at a time through a connection in one direction: the client,
// or a read or write of ours between two of the client's. Each goes under its
// own deadline, and the client waits for ours no longer than its own allows.
type gate struct {
	set    func(time.Time) error // of upstream, for this direction
	closed <-chan struct{}

	busy sync.Mutex                    // held while bytes go through
	own  atomic.Pointer[chan struct{}] // closed when ours, which holds busy, is through
	left atomic.Pointer[chan struct{}] // of one of ours that waits: told when the client leaves

	mu       sync.Mutex // guards the rest
	deadline time.Time  // the client's
	ours     bool       // a deadline of ours is in force
	moved    chan struct{}
}

// setDeadline sets the client's deadline.
func (g *gate) setDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
	if g.ours {
		return nil
	}
	return g.set(t)
}

// begin lets the client in; end must follow. Two calls of the client's own
// wait for each other without a deadline, as in package net.
func (g *gate) begin() error {
	if g.left.Load() == nil && g.busy.TryLock() {
		return nil
	}
	return g.wait()
}

// wait is apart from begin, which is on the way of each read and write: a
// defer in a loop costs even where it does not run.
func (g *gate) wait() error {
	for g.left.Load() != nil || !g.busy.TryLock() {
		own := g.own.Load()
		if own == nil {
			g.busy.Lock()
			return nil
		}
		if err := g.await(*own); err != nil {
			return err
		}
	}
	return nil
}

// await waits for done, as long as the client's deadline allows.
func (g *gate) await(done <-chan struct{}) error {
	for {
		deadline, moved := g.watch()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-done:
			return nil
		case <-moved:
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-g.closed:
			return net.ErrClosed
		}
	}
}

func (g *gate) end() {
	g.busy.Unlock()
	if left := g.left.Load(); left != nil {
		select {
		case *left <- struct{}{}:
		default:
		}
	}
}

// watch returns the client's deadline and a channel that is closed when it is
// set anew.
func (g *gate) watch() (time.Time, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved == nil {
		g.moved = make(chan struct{})
	}
	return g.deadline, g.moved
}

// tryOwn lets us in, under the deadline t, unless somebody is there already.
func (g *gate) tryOwn(t time.Time) (end func(), ok bool) {
	for {
		through := make(chan struct{})
		if !g.own.CompareAndSwap(nil, &through) {
			return nil, false
		}
		if g.busy.TryLock() {
			return g.owned(through, t), true
		}
		g.own.Store(nil)
		close(through)
		// Whoever was in may have left in the meantime and have found own
		// taken, so that it counts on us.
		if !g.busy.TryLock() {
			return nil, false
		}
		g.end()
	}
}

// owned puts the deadline t in force for ours, which holds busy.
func (g *gate) owned(through chan struct{}, t time.Time) (end func()) {
	g.force(t)
	return func() {
		g.giveBack()
		g.busy.Unlock()
		g.own.Store(nil)
		close(through)
	}
}

// seize lets us in as tryOwn does, but waits for whoever is there, until t at
// the longest. With evict a call of the client's that is under way ends like
// one whose deadline has passed: see evicted.
func (g *gate) seize(t time.Time, evict bool) (end func(), err error) {
	expired := time.NewTimer(time.Until(t))
	defer expired.Stop()
	through := make(chan struct{})
	for !g.own.CompareAndSwap(nil, &through) {
		other := g.own.Load()
		if other == nil {
			continue
		}
		select {
		case <-*other:
		case <-expired.C:
			return nil, os.ErrDeadlineExceeded
		case <-g.closed:
			return nil, net.ErrClosed
		}
	}
	left := make(chan struct{}, 1)
	g.left.Store(&left)
	if evict {
		g.force(time.Unix(1, 0))
	}
	for err == nil && !g.busy.TryLock() {
		select {
		case <-left:
		case <-expired.C:
			err = os.ErrDeadlineExceeded
		case <-g.closed:
			err = net.ErrClosed
		}
	}
	g.left.Store(nil)
	if err == nil {
		return g.owned(through, t), nil
	}
	if evict {
		g.giveBack()
	}
	g.own.Store(nil)
	close(through)
	return nil, err
}

// evicted reports whether the client's call, which is still in, ended with err
// for a deadline of ours. It is to begin again.
func (g *gate) evicted(err error) bool {
	return g.own.Load() != nil && errors.Is(err, os.ErrDeadlineExceeded)
}

func (g *gate) force(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ours = true
	g.set(t)
}

func (g *gate) giveBack() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ours = false
	g.set(g.deadline)
}
