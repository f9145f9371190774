package entraredis

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

// conn is a connection that keeps itself authenticated. This file carries the
// client's bytes; reauthenticate.go slips AUTH in between them.
//
// There is no goroutine of its own: its AUTH is sent by the client's Write, by
// a timer, or by whoever found that it has become possible; the reply is met by
// the client's Read or, on an idle connection, read by the sender.
type conn struct {
	upstream  *upstream
	dialer    *Dialer
	source    *Source
	closed    chan struct{}
	closeOnce sync.Once
	forget    func() // ends the subscription to new tokens

	// Bytes go out in the order in which the tracker sees them. Who wants to
	// send an AUTH never waits for the client's turn to end: the client looks
	// at due behind it.
	writes gate
	tail   []byte        // what the tracker held back of the client's bytes; guarded by writes
	room   chan struct{} // closed when tail is let go, if somebody waits for that; guarded by writes
	over   bool          // a command or a reply was too large: nothing goes out any more; guarded by writes
	due    atomic.Bool   // a re-AUTH is asked for
	asked  atomic.Bool   // one has been sent and not answered
	ready  atomic.Bool   // the tracker is
	// lettingGo: what stood behind a blocking command is being sent.
	lettingGo atomic.Bool
	polled    atomic.Bool // see Poll
	apart     atomic.Bool // and Polls; of what has been sent

	reads   gate
	veil    *reauth.Veil // hides what a handover left behind, or nil; guarded by reads
	ahead   []byte       // read and not delivered; guarded by reads
	readErr error        // what reading ended with, once ahead is delivered; guarded by reads

	mu      sync.Mutex // guards the rest; never held across I/O or logging
	tracker *reauth.Tracker
	state   authState
	moving  moving
}

// maxTail bounds what is held back behind a blocking command, in bytes, besides
// the last that was written.
const maxTail = 1 << 20

func newConn(d *Dialer, network, addr string, nc net.Conn, tok Token, ahead []byte) *conn {
	closed := make(chan struct{})
	upstream := newUpstream(nc)
	c := &conn{
		upstream: upstream,
		dialer:   d,
		source:   d.Source,
		closed:   closed,
		writes:   gate{set: upstream.SetWriteDeadline, closed: closed},
		reads:    gate{set: upstream.SetReadDeadline, closed: closed},
		ahead:    ahead,
		tracker:  reauth.New(),
		state:    authState{token: tok},
		moving:   moving{network: network, addr: addr},
	}
	c.tracker.Block = c.mayBlock
	c.tracker.Authenticate = d.ClientAuth
	d.count(func(s *Stats) { s.Open++ })
	c.watchIdle()
	c.forget = d.Source.Subscribe(c.newToken)
	// A token that came between AUTH and Subscribe was announced to nobody.
	if newest, ok := d.Source.current(); ok {
		c.newToken(newest)
	}
	return c
}

// Write sends p, and an AUTH at the first place in it where one is due and
// possible. What stands behind a blocking command waits until that is answered.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	n, err := c.send(p)
	c.endWrite()
	return n, err
}

// WritePlain is Write for n whole commands that the caller vouches for: each is
// answered with one reply, and changes nothing on the connection. It is part of
// no interface, and for who has read the commands already.
func (c *conn) WritePlain(p []byte, n int) (int, error) {
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	defer c.endWrite()
	if len(c.tail) > 0 || c.due.Load() || !c.followPlain(n) {
		return c.send(p)
	}
	m, err := c.upstream.Write(p)
	if err != nil {
		c.brokeOff(err)
	}
	return m, err
}

func (c *conn) followPlain(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.traffic = true
	return c.tracker.Plain(n)
}

func (c *conn) endWrite() {
	c.writes.end()
	if (c.due.Load() || c.ready.Load()) && c.possible() {
		// Asked for while this Write held the gate. Not here: it may take
		// longer than the client's deadline allows.
		go c.proceed()
	}
}

// beginWrite takes the gate, once there is room to hold back what is written.
func (c *conn) beginWrite() error {
	for {
		if err := c.writes.begin(); err != nil || len(c.tail) < maxTail {
			return err
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.writes.end()
		if err := c.writes.await(room); err != nil {
			return err
		}
	}
}

func (c *conn) send(p []byte) (n int, err error) {
	if len(c.tail) > 0 {
		if c.withholds() {
			c.tail = append(c.tail, p...)
			return len(p), nil
		}
		n = -len(c.tail) // counted when it was taken
		p = slices.Concat(c.tail, p)
		c.tail = nil
		if c.room != nil {
			close(c.room)
			c.room = nil
		}
	}
	changed := 0 // bytes of the client's for which something else is to go out
	for {
		step, auth := c.follow(p)
		if step.Send > 0 {
			m, err := c.upstream.Write(p[:step.Send])
			n += m
			if err != nil {
				if c.tooLarge() != nil {
					return n + len(p) - m, nil // a reply was, and the rest is dropped
				}
				c.brokeOff(err)
				if n < 0 && errors.Is(err, os.ErrDeadlineExceeded) {
					c.tail = slices.Clone(p[m : m-n]) // an earlier Write has counted it
				}
				return max(0, n), err
			}
			p = p[step.Send:]
		}
		n += step.Skip
		changed += step.Skip
		p = p[step.Skip:]
		if len(p) == 0 && step.Skip == 0 && step.Insert == nil && auth == nil {
			if c.over {
				c.cutOff()
			}
			return n, nil
		}
		for _, own := range [][]byte{step.Insert, auth} {
			if len(own) == 0 {
				continue
			}
			if _, err := c.upstream.Write(own); err != nil {
				c.ownBrokeOff(err)
				if len(p) == 0 && changed == 0 {
					err = nil // all of the client's is out; its next call meets the error
				}
				return max(0, n-changed), err
			}
			changed = 0
		}
		switch {
		case step.Hold:
			c.tail = slices.Clone(p)
			return n + len(p), nil
		case auth != nil:
			c.settleAndReport()
		}
	}
}

// brokeOff records that a write ended early. Reading goes on: what the server
// sent before it closed is still the client's.
func (c *conn) brokeOff(err error) {
	c.mu.Lock()
	c.tracker.Broken()
	c.mu.Unlock()
	c.ended(err)
}

// ownBrokeOff is brokeOff for a command of ours: half of one may be out, and
// then nothing can follow it.
func (c *conn) ownBrokeOff(err error) {
	c.brokeOff(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.upstream.Close()
	}
}

// follow shows the tracker what is about to be sent. It returns what to do with
// it, and the AUTH that step asks for.
func (c *conn) follow(p []byte) (step reauth.Step, auth []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.traffic = true
	want := c.due.Load()
	if want && c.tracker.Deferred() == reauth.None {
		return reauth.Step{}, c.inject()
	}
	step = c.tracker.Client(p, want)
	if step.Auth {
		auth = c.inject()
	}
	if ready := c.tracker.Ready(); ready != c.ready.Load() {
		c.ready.Store(ready)
	}
	c.over = c.tracker.TooLarge() != nil
	if apart := c.over || c.tracker.Withholds() || c.tracker.Subscribes(); apart != c.apart.Load() {
		c.apart.Store(apart)
	}
	return step, auth
}

// Read returns bytes for the client: what comes from upstream without the
// replies to our own AUTH.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	for evicted := true; evicted; {
		if err := c.reads.begin(); err != nil {
			return 0, err
		}
		n, err = c.read(p)
		evicted = n == 0 && c.reads.evicted(err)
		c.reads.end()
	}
	if c.asked.Load() && !c.polled.Load() && c.unread() {
		// The client has what it waited for and may not read again for long.
		go c.readAnswer()
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	for {
		if len(c.ahead) > 0 {
			n := copy(p, c.ahead)
			if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
				c.ahead = nil
			}
			return n, nil
		}
		if c.readErr != nil {
			return 0, c.readErr
		}
		n, err := c.upstream.Read(p)
		if m := c.receive(p[:n], p); m > 0 {
			c.readingEnded(err)
			return m, nil
		}
		if err != nil {
			if c.readingEnded(err); c.readErr != nil {
				err = c.readErr
			}
			return 0, err
		}
	}
}

// receive takes bytes that came from upstream, and copies those for the client
// to dst, and to ahead what does not fit. b may be a part of dst.
func (c *conn) receive(b, dst []byte) int {
	if c.veil != nil {
		b = c.unveil(b)
	}
	if len(b) == 0 {
		return 0
	}
	keep, err := c.filter(b)
	n := len(keep)
	if n == 0 || len(dst) == 0 || &keep[0] != &dst[0] {
		n = copy(dst, keep)
	}
	c.ahead = append(c.ahead, keep[n:]...)
	if err != nil {
		c.misread(err)
	}
	return n
}

// filter returns what of b is for the client, in place where it can.
func (c *conn) filter(b []byte) (keep []byte, err error) {
	c.mu.Lock()
	c.state.traffic = true
	n, verdict, err := c.tracker.Server(b)
	held := c.tracker.TakeHeld()
	if keep = b; n < len(b) || verdict != reauth.Pass || held != nil {
		keep, err = c.sift(b, n, verdict, held, err)
	}
	if over := c.tracker.TooLarge(); over != nil && err == nil && !c.tracker.Due() {
		err = over
	}
	results := c.settle()
	if c.tracker.Ready() {
		c.ready.Store(true)
		c.catchUp()
	}
	possible := c.ready.Load() || c.due.Load() && c.actable()
	c.mu.Unlock()
	c.report(results)
	if possible {
		// Not here: a Write can wait for a peer that waits for this Read.
		go c.proceed()
	}
	return keep, err
}

// sift goes on where the tracker does not pass all of b. c.mu is held.
func (c *conn) sift(b []byte, n int, verdict reauth.Verdict, held []byte, err error) ([]byte, error) {
	keep := b[:0]
	for {
		if held != nil {
			// No longer in place: what was held back takes room of its own.
			keep = slices.Concat(keep, held)
		}
		if verdict == reauth.Pass {
			keep = append(keep, b[:n]...)
		}
		if b = b[n:]; len(b) == 0 || err != nil {
			return keep, err
		}
		n, verdict, err = c.tracker.Server(b)
		held = c.tracker.TakeHeld()
	}
}

// readingEnded remembers an error after which no more can be read.
func (c *conn) readingEnded(err error) {
	if err == nil || c.readErr != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if c.endsByLimit() {
		return
	}
	c.readErr = err
	c.ended(err)
	if c.withholds() {
		// No answer will come, so nothing need wait for it any more.
		c.mu.Lock()
		c.tracker.Broken()
		c.ready.Store(true)
		c.mu.Unlock()
		go c.proceed()
	}
}

// maxLetGo bounds how long Close may take to send what stood behind a blocking
// command that has been answered.
const maxLetGo = time.Second

// Close closes the connection. It may be called more than once.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		if c.ready.Load() || c.lettingGo.Load() {
			// Redis has it already on a connection without us.
			if end, err := c.writes.seize(time.Now().Add(maxLetGo), false); err == nil {
				c.send(nil)
				end()
			}
		}
		close(c.closed)
		c.forget()
		c.mu.Lock()
		c.state.stop()
		c.mu.Unlock()
		c.dialer.count(func(s *Stats) { s.Open-- })
		err = c.upstream.Close()
	})
	return err
}

// Commands is how many commands the client has sent, as far as they can be
// followed. It is part of no interface, and for who counts them.
func (c *conn) Commands() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Commands()
}

func (c *conn) LocalAddr() net.Addr                { return c.upstream.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr               { return c.upstream.RemoteAddr() }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.reads.setDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writes.setDeadline(t) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.reads.setDeadline(t), c.writes.setDeadline(t))
}
