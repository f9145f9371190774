package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/internal/commands"
	"github.com/entraredis/entraredis/internal/resp"
)

// returnAfter is how long a client that has left no state on its own upstream
// has to be silent before it gives that back.
const returnAfter = 2 * time.Second

var past = time.Unix(1, 0)

// stage is the time for which a client of a proxy with shared upstreams has one
// of its own. While only transactions, watches and blocking commands have been
// seen it is followed whether they have ended. Anything else that is stateful
// makes the client keep its upstream for good, and from there on nothing is
// looked at.
type stage struct {
	*session
	ride *ride
	kept atomic.Bool // for good
	lost atomic.Bool // carryDown has ended

	// Of who carries up.
	multi, watch bool
	sent         uint64 // commands
	long         resp.Requests
	timer        *time.Timer // see arm; nil if it is not set

	// Of who carries down.
	replies resp.Replies
	ended   uint64 // replies that have come and not been taken

	// Guarded by session.mu.
	answered uint64
	checks   []check
}

// check is a command whose effect is taken for given unless its reply is an
// error.
type check struct {
	at   uint64 // the number of the command
	exec bool
}

// dedicate carries the client over an upstream of its own, until no state is
// left there; nil is returned then. It returns errParked if the client is the
// loop's now.
func (s *session) dedicate() error {
	s.client.owed.Store(true)
	s.active.Store(time.Now().UnixNano())
	upstream, err := s.hub.own(s.ctx, &s.settings)
	if err != nil {
		return err
	}
	r := &ride{client: s.client, line: newLine(upstream), loop: s.hub.slots[s.slot].loop}
	r.stage = &stage{session: s, ride: r}
	s.commands.begin(upstream)
	r.unhook = context.AfterFunc(s.ctx, r.line.close)
	s.hub.proxy.count(func(st *Stats) { st.Moves++ })
	s.own = r.stage
	return s.own.goOn(true)
}

// goOn goes on with a stage, in the loop if it is for that.
func (t *stage) goOn(loop bool) error {
	if t.mayLeave() {
		return t.leave()
	}
	if loop && t.isRead() {
		if _, parked := t.ride.park(nil); parked {
			return errParked
		}
	}
	return t.carry()
}

// isRead reports whether the client has had all that came over pipes.
func (t *stage) isRead() bool {
	t.flush(time.Now()) // who handed it over may not have come to that
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.draining && len(t.out) == 0
}

// mayLeave reports whether the client is to give its upstream back now.
func (t *stage) mayLeave() bool {
	r := t.ride
	if len(r.out) > 0 || !t.isClean() {
		return false
	}
	if b := t.in.bytes(); len(b) > 0 {
		k, f := t.request.read(b)
		return f == whole && k <= t.hub.maxRequest && t.mayReturn()
	}
	return !r.left && (r.lost != nil || time.Since(time.Unix(0, t.active.Load())) >= returnAfter)
}

// carry carries with two goroutines, until the stage or the client ends.
func (t *stage) carry() error {
	r := t.ride
	downEnded := make(chan error, 1)
	go func() {
		err := t.carryDown()
		t.lost.Store(true)
		if t.kept.Load() || isLimit(err) {
			t.end(err)
		} else {
			t.conn.SetReadDeadline(past) // wake the client's goroutine, which knows what to do
		}
		downEnded <- err
	}()

	clean, err := t.carryUp()
	if clean {
		r.line.get().SetReadDeadline(past)
		r.lost = <-downEnded
		return t.leave()
	}
	if err == nil {
		err = t.client.carryUp(r.line, nil)
	}
	if err == errLeft && !t.lost.Load() {
		t.awaitReplies(downEnded)
	}
	t.end(err)
	err = why(err, <-downEnded)
	return r.arrive(err)
}

// leave ends the stage of a client that has left no state. An upstream that
// was lost does it no harm.
func (t *stage) leave() error {
	r, upstream := t.ride, t.ride.line.get()
	t.own, t.shared = nil, true
	unhooked := r.unhook()
	t.commands.end() // the upstream may be another client's at once
	if unhooked && !r.more && t.replies.AtBoundary() && (r.lost == nil || errors.Is(r.lost, os.ErrDeadlineExceeded)) {
		upstream.SetReadDeadline(time.Time{})
		t.hub.giveBack(upstream, t.settings.left())
	} else {
		upstream.Close()
	}
	t.mu.Lock()
	t.large = false
	t.mu.Unlock()
	t.conn.SetReadDeadline(time.Time{})
	return context.Cause(t.ctx) // which may have set the deadline before that
}

// carryUp carries commands until no state is left (clean is true), or the
// upstream is kept for good (nil), or the client or upstream has ended.
func (t *stage) carryUp() (clean bool, err error) {
	for {
		n, more := 0, false
		if t.kept.Load() {
			n = len(t.in.bytes())
		} else if len(t.in.bytes()) > 0 {
			if n, more, clean = t.follow(t.in.bytes()); clean {
				return true, nil
			}
		} else {
			more = true
		}
		if n > 0 {
			if err := t.send(n); err != nil {
				return false, err
			}
		}
		if t.kept.Load() && len(t.in.bytes()) == 0 {
			t.conn.SetReadDeadline(time.Time{})
			if t.lost.Load() {
				return false, errUpstream
			}
			return false, context.Cause(t.ctx)
		}
		if !more {
			if n == 0 {
				if err := t.refuseWait(); err != nil {
					return false, err
				}
			}
			continue
		}
		if clean, err := t.fill(); clean || err != nil {
			return clean, err
		}
	}
}

func (t *stage) send(n int) error {
	t.asksNow()
	m, err := t.ride.line.Write(t.in.bytes()[:n])
	t.up.Add(uint64(m))
	if err != nil {
		return errUpstream
	}
	t.in.skip(n)
	return nil
}

// fill reads more from the client. It reports true if the upstream is to be
// given back, because nothing comes or it was lost.
func (t *stage) fill() (clean bool, err error) {
	for {
		t.conn.SetReadDeadline(time.Now().Add(returnAfter))
		if cause := context.Cause(t.ctx); cause != nil {
			return false, cause
		}
		if !t.lost.Load() {
			if err = t.in.fill(t.conn, t.socket); err == nil {
				return false, nil
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return false, errLeft
			}
			if cause := context.Cause(t.ctx); cause != nil {
				return false, cause
			}
		}
		switch clean := t.isClean() && len(t.in.bytes()) == 0; {
		case clean:
			return true, nil
		case t.lost.Load():
			return false, errUpstream
		}
	}
}

// isClean reports whether no state is left, no reply due, and none of earlier
// times unread.
func (t *stage) isClean() bool {
	if t.kept.Load() || t.multi || t.watch || !t.long.AtBoundary() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent == t.answered && !t.draining && len(t.out) == 0
}

// follow says how many bytes of b are to be sent, and whether more have to be
// read for what follows them. It reports clean if the first command may
// travel over a pipe again.
func (t *stage) follow(b []byte) (n int, more, clean bool) {
	for n < len(b) {
		if !t.long.AtBoundary() {
			k, done, err := t.long.Next(b[n:])
			if err != nil {
				t.keep()
				return len(b), false, false
			}
			n += k
			if done {
				t.sent++
			}
			continue
		}
		k, f := t.request.read(b[n:])
		switch {
		case f == partial && t.request.need <= t.hub.maxRequest:
			return n, true, false
		case f == odd || f == partial && t.request.n == 0:
			t.keep()
			return len(b), false, false
		case f == partial:
			t.effect()
			m, _, err := t.long.Next(b[n:])
			if err != nil {
				t.keep()
			}
			n += m
			continue
		}
		if n == 0 && k <= t.hub.maxRequest && t.isClean() && t.mayReturn() {
			return 0, false, true
		}
		if t.isWait() {
			return n, false, false // refuseWait sees to it
		}
		t.effect()
		if t.kept.Load() {
			return len(b), false, false
		}
		t.sent++
		n += k
	}
	return n, n == len(b), false
}

// mayReturn reports whether the command last read is for the pipes.
func (t *stage) mayReturn() bool {
	return !t.isHeavy() && t.request.stateless()
}

// keep keeps the upstream for good.
func (t *stage) keep() { t.kept.Store(true) }

// isWait reports whether the command last read is one that asks about the
// connection's own writes, some of which went elsewhere.
func (t *stage) isWait() bool {
	return t.shared && !t.multi && (t.request.is("WAIT") || t.request.is("WAITAOF"))
}

// refuseWait answers the command for which isWait holds, once all others are.
func (t *stage) refuseWait() error {
	k, f := t.request.read(t.in.bytes())
	if f != whole || !t.isWait() {
		return nil
	}
	if err := t.await(func() bool { return t.sent == t.answered || t.lost.Load() }); err != nil {
		return err
	}
	t.in.skip(k)
	if err := t.answer(replyNoWait); err != nil {
		return err
	}
	return t.flushed() // carryDown writes too
}

// effect follows what the command last read, of which at least the name is
// known, leaves on the connection.
func (t *stage) effect() {
	r := &t.request
	switch {
	case r.is("MULTI"):
		t.check(false)
		t.multi = true
	case r.is("EXEC"), r.is("DISCARD"):
		t.check(r.is("EXEC"))
		t.multi, t.watch = false, false
	case r.is("WATCH"):
		t.watch = true
	case r.is("UNWATCH"):
		if !t.multi {
			t.check(false)
			t.watch = false
		}
	case !commands.LeavesNothing(r.args[:r.n], r.all):
		t.keep()
	}
}

func (t *stage) check(exec bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checks = append(t.checks, check{t.sent, exec})
}

// carryDown carries replies to the client, behind those that came over pipes.
func (t *stage) carryDown() error {
	r := t.ride
	if err := t.flushed(); err != nil {
		return err
	}
	if len(r.out) > 0 {
		if err := t.give(r.out); err != nil {
			t.end(err)
			return err
		}
		t.handedOver()
	}
	r.out, r.more = nil, false
	in := buffer{}
	defer in.release()
	for {
		b, err := in.read(r.line.get())
		if err != nil {
			if t.kept.Load() && t.restore(r.line) {
				continue
			}
			if err == io.EOF || errors.Is(err, net.ErrClosed) {
				err = errUpstream
			}
			return err
		}
		t.observe(b)
		if err := t.give(b); err != nil {
			t.end(err)
			return err
		}
		t.handedOver()
	}
}

// handedOver notes that the client has taken what has come.
func (t *stage) handedOver() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered += t.ended
	t.ended = 0
	t.roused()
}

// observe counts the replies that end in b and looks at those that matter.
func (t *stage) observe(b []byte) {
	for len(b) > 0 && !t.kept.Load() {
		n, done, err := t.replies.Next(b)
		if err != nil {
			t.keep()
			return
		}
		b = b[n:]
		if !done || t.replies.Type() == '>' {
			continue
		}
		t.mu.Lock()
		if len(t.checks) > 0 && t.checks[0].at == t.answered+t.ended {
			aborted := t.checks[0].exec && bytes.HasPrefix(t.replies.Line(), []byte("EXECABORT"))
			if t.replies.Type() == '-' && !aborted {
				t.keep() // the transaction may stand
			}
			t.checks = t.checks[1:]
		}
		t.mu.Unlock()
		t.ended++
	}
}
