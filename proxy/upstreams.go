package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
)

const (
	// defaultMaxDials keeps the handshakes of one proxy below what a small
	// cache does in a tenth of a second: one costs Redis, which has one thread
	// for it, about a millisecond of TLS and the check of a token.
	defaultMaxDials = 16

	// The pauses between dials while the cache cannot be reached.
	minBackOff = 50 * time.Millisecond
	maxBackOff = 2 * time.Second

	// defaultPatience is the Dialer's default ConnectTimeout.
	defaultPatience = 15 * time.Second
)

// upstreams opens the upstreams of a Proxy: so many at a time, one after the
// other while the cache cannot be reached, and some ahead of need.
type upstreams struct {
	dialer *entraredis.Dialer
	addr   string
	max    int         // dials at a time; 0 = any number
	failed func(error) // is told of upstreams that could not be opened, and were for no client

	ctx     context.Context // of the spares
	cancel  context.CancelFunc
	keepers sync.WaitGroup

	mu       sync.Mutex // guards the rest; never held across I/O
	closed   bool
	dialing  int
	queue    []*waiter // in the order in which they came
	failures int       // in a row; 0 = the cache can be reached
	lastErr  error     // of these
	next     time.Time // when the cache may be tried again
	probing  bool      // it is being tried
	timer    *time.Timer
	ready    []*spare
	taken    uint64 // spares
}

func newUpstreams(p *Proxy) *upstreams {
	u := &upstreams{dialer: p.Dialer, addr: p.Addr, max: p.MaxDials}
	u.failed = func(err error) { p.count(func(s *Stats) { s.dialFailed(err) }) }
	switch {
	case u.max == 0:
		u.max = defaultMaxDials
	case u.max < 0:
		u.max = 0
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// waiter is a dial that has not begun.
type waiter struct {
	turn chan turn // gets one, with room for it
	gone bool      // whoever it is for seems to have left, or has time
}

// turn is the permission to dial.
type turn struct {
	failures int // when it was given
	probe    bool
}

// prepared returns an upstream behind what prepare has done to it. A spare for
// which that fails may have ended with nobody knowing, so a new one takes its
// place; errRefused is the cache's own word, and final. Beside errors of open
// it returns those of prepare.
func (u *upstreams) prepared(ctx context.Context, prepare func(net.Conn) error) (net.Conn, error) {
	c := u.take()
	for spare := c != nil; ; spare = false {
		if c == nil {
			var err error
			if c, err = u.open(ctx, u.patience(), nil); err != nil {
				return nil, err
			}
		}
		err := prepare(c)
		if err == nil {
			return c, nil
		}
		c.Close()
		if !spare || errors.Is(err, errRefused) || ctx.Err() != nil {
			return nil, err
		}
		c = nil
	}
}

// open returns a new upstream. If it has to wait for its turn, for patience at
// most (zero is no bound), it calls waits, which returns a channel that is closed
// when whoever the upstream is for seems to have left: others go first then.
// waits may be nil.
//
// Errors are those of the Dialer, its last one if the cache did not come back
// in time, and errDraining.
func (u *upstreams) open(ctx context.Context, patience time.Duration, waits func() <-chan struct{}) (net.Conn, error) {
	// An issuer that is slow must not use up the turns.
	if u.dialer.Source != nil {
		if _, err := u.dialer.Source.Token(ctx); err != nil {
			return nil, err
		}
	}
	t, err := u.enter(ctx, patience, waits)
	if err != nil {
		return nil, err
	}
	c, err := u.dialer.DialContext(ctx, "tcp", u.addr)
	u.leave(t, reachable(ctx, err), err)
	return c, err
}

// patience is how long a client waits for its turn.
func (u *upstreams) patience() time.Duration {
	if u.dialer.ConnectTimeout > 0 {
		return u.dialer.ConnectTimeout
	}
	return defaultPatience
}

// reach is what a dial tells about the cache.
type reach uint8

const (
	unknown reach = iota // nothing
	reached
	unreached
)

func reachable(ctx context.Context, err error) reach {
	if err == nil {
		return reached
	}
	e, ok := errors.AsType[*entraredis.AuthError](err)
	if !ok || ctx.Err() != nil {
		return unknown
	}
	switch e.Kind {
	case entraredis.KindUnreachable, entraredis.KindAuthTimeout, entraredis.KindMaxClients, entraredis.KindUnknown:
		return unreached
	}
	return reached // and it refuses who we are, or is not who it should be
}

// enter waits for the turn to dial; leave must follow.
func (u *upstreams) enter(ctx context.Context, patience time.Duration, waits func() <-chan struct{}) (turn, error) {
	u.mu.Lock()
	if len(u.queue) == 0 && u.mayDial() {
		defer u.mu.Unlock()
		return u.begin(), nil
	}
	if u.closed {
		u.mu.Unlock()
		return turn{}, errDraining
	}
	w := &waiter{turn: make(chan turn, 1)}
	u.queue = append(u.queue, w)
	u.grant()
	u.mu.Unlock()

	var expired <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		expired = timer.C
	}
	var gone <-chan struct{}
	if waits != nil {
		gone = waits()
	}
	for {
		select {
		case t, ok := <-w.turn:
			if !ok {
				return turn{}, errDraining
			}
			return t, nil
		case <-gone:
			gone = nil
			u.mu.Lock()
			w.gone = true
			u.mu.Unlock()
		case <-ctx.Done():
			return turn{}, u.giveUp(w, ctx.Err())
		case <-expired:
			return turn{}, u.giveUp(w, u.tooLong(patience))
		}
	}
}

// admit is the Dialer's Admit: what it dials by itself takes turns with the
// rest, and lets clients go first.
func (u *upstreams) admit(ctx context.Context) (done func(error), err error) {
	t, err := u.enter(ctx, 0, func() <-chan struct{} { return hasTime })
	if err != nil {
		return nil, err
	}
	return func(err error) { u.leave(t, reachable(ctx, err), err) }, nil
}

var hasTime = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// check opens an upstream and closes it. Where ctx ends before its turn comes
// it says what stands in the way.
func (u *upstreams) check(ctx context.Context) error {
	began := time.Now()
	c, err := u.open(ctx, u.patience(), nil)
	if err != nil && err == ctx.Err() {
		err = fmt.Errorf("%w: %w", err, u.tooLong(time.Since(began).Round(time.Millisecond)))
	}
	if err != nil {
		if err != errDraining && ctx.Err() != context.Canceled { // who asked may have gone
			u.failed(err)
		}
		return err
	}
	return c.Close()
}

// ahead is open for what is kept ahead of need.
func (u *upstreams) ahead() (net.Conn, error) {
	c, err := u.open(u.ctx, 0, nil)
	if err != nil && u.ctx.Err() == nil {
		u.failed(err)
	}
	return c, err
}

// giveUp takes w out of the queue, or gives back the turn that it was given at
// the same moment. It returns why.
func (u *upstreams) giveUp(w *waiter, why error) error {
	u.mu.Lock()
	at := slices.Index(u.queue, w)
	if at >= 0 {
		u.queue = slices.Delete(u.queue, at, at+1)
	}
	u.mu.Unlock()
	if at < 0 {
		if t, ok := <-w.turn; ok {
			u.leave(t, unknown, nil)
		}
	}
	return why
}

// tooLong is the error for who has waited in vain.
func (u *upstreams) tooLong(patience time.Duration) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failures > 0 {
		return u.lastErr
	}
	return &entraredis.AuthError{Kind: entraredis.KindUnreachable, Addr: u.addr,
		Err: fmt.Errorf("no turn to dial within %v: %d dials under way", patience, u.dialing)}
}

// mayDial reports whether a dial may begin now. u.mu is held.
func (u *upstreams) mayDial() bool {
	if u.max > 0 && u.dialing >= u.max {
		return false
	}
	return u.failures == 0 || !u.probing && !time.Now().Before(u.next)
}

// begin is the beginning of a dial. u.mu is held.
func (u *upstreams) begin() turn {
	u.dialing++
	u.probing = u.failures > 0
	return turn{u.failures, u.probing}
}

// leave is the end of a dial.
func (u *upstreams) leave(t turn, r reach, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dialing--
	if t.probe {
		u.probing = false
	}
	switch {
	case r == reached:
		u.failures, u.lastErr, u.probing = 0, nil, false
	case r == unreached && t.failures == u.failures: // not one of several that began before the first failed
		u.failures++
		u.lastErr = err
		u.next = time.Now().Add(backOff(u.failures, minBackOff, maxBackOff))
	}
	u.grant()
}

// grant gives turns to those who wait, as many as may dial. u.mu is held.
func (u *upstreams) grant() {
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	for len(u.queue) > 0 && u.mayDial() {
		at := max(0, slices.IndexFunc(u.queue, func(w *waiter) bool { return !w.gone }))
		w := u.queue[at]
		u.queue = slices.Delete(u.queue, at, at+1)
		w.turn <- u.begin()
	}
	if len(u.queue) > 0 && u.failures > 0 && !u.probing {
		u.timer = time.AfterFunc(time.Until(u.next), func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.grant()
		})
	}
}

// backOff returns the pause behind the nth failure in a row: twice the last
// one, less up to half of it at random.
func backOff(n int, least, most time.Duration) time.Duration {
	full := min(2*least<<min(n-1, 20), most)
	return full - time.Duration(rand.Int64N(int64(full/2)+1))
}

// close ends the spares and sends away who waits. Who need not wait may still
// dial: it is for a client that is to have its last answer.
func (u *upstreams) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.cancel()
	for _, w := range u.queue {
		close(w.turn)
	}
	u.queue = nil
	if u.timer != nil {
		u.timer.Stop()
	}
}

// count fills in what Stats tells of u.
func (u *upstreams) count(s *Stats) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Spares, s.SparesTaken = len(u.ready), u.taken
	s.Dialing, s.DialsWaiting = u.dialing, len(u.queue)
}
