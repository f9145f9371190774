package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// Upstreams says how clients share upstream connections.
type Upstreams uint8

const (
	// UpstreamsDedicated gives every client an upstream of its own.
	UpstreamsDedicated Upstreams = iota

	// UpstreamsShared carries the commands of all clients over a few upstreams,
	// as long as they leave no state on a connection. A client gets an upstream
	// of its own for those that do, and keeps it while state is left.
	UpstreamsShared

	// UpstreamsAuto is UpstreamsShared, but a client that gets large replies has
	// an upstream of its own too: for those, sharing costs more than it saves.
	UpstreamsAuto
)

var upstreamsNames = [...]string{"dedicated", "shared", "auto"}

// String returns "dedicated", "shared" or "auto".
func (u Upstreams) String() string {
	if int(u) < len(upstreamsNames) {
		return upstreamsNames[u]
	}
	return "unknown"
}

// Set is the inverse of String. With Type it makes a flag.
func (u *Upstreams) Set(name string) error {
	for i, n := range upstreamsNames {
		if n == name {
			*u = Upstreams(i)
			return nil
		}
	}
	return errors.New(`not "dedicated", "shared" or "auto"`)
}

// Type is what a flag of this type is called in a help text.
func (*Upstreams) Type() string { return "mode" }

const (
	defaultPipes        = 2
	defaultReplyTimeout = 30 * time.Second

	// A client's own upstream that is clean again serves the next client that
	// needs one: so many are kept, and so long.
	maxReturned = 16
	maxIdle     = time.Minute

	// refusedFor is for how long clients are told that the cache refuses RESP3, in
	// its words, before one asks again.
	refusedFor = time.Minute

	// maxTrust is how long one is taken to be alive without a PING.
	maxTrust = time.Second
)

// hub holds what the clients of a proxy share.
type hub struct {
	proxy  *Proxy
	ctx    context.Context // of dials; ended by close
	cancel context.CancelFunc
	limit  time.Duration // see Proxy.ReplyTimeout
	// What may travel over a pipe, in bytes.
	maxRequest int
	maxReply   int64
	slots      []slot // first those of RESP2, then as many of RESP3
	next       atomic.Uint32

	stalled atomic.Int64 // when a client was last closed for reading nothing, as Unix nanoseconds

	mu       sync.Mutex // guards the rest
	closed   bool
	returned []*returnedUpstream
}

// slot is the place of a pipe.
type slot struct {
	proto   int   // that its pipe speaks
	loop    *loop // of the pipe, and of those who use it
	mu      sync.Mutex
	pipe    *pipe // nil if there is none
	dialing *dialing
	refused error // of the protocol, by the cache; nil if it was not
	until   time.Time
}

// dialing is an attempt to open a pipe.
type dialing struct {
	done chan struct{}
	err  error // once done
}

type returnedUpstream struct {
	conn  net.Conn
	left  handed
	since time.Time
	timer *time.Timer
}

func newHub(p *Proxy) *hub {
	n := p.Pipes
	if n <= 0 {
		n = max(defaultPipes, len(p.loops))
	}
	h := &hub{proxy: p, limit: p.ReplyTimeout, slots: make([]slot, 2*n)}
	h.maxRequest, h.maxReply = int(min(maxRequest, bound(p.MaxCommand))), bound(p.MaxReply)
	if h.limit == 0 {
		h.limit = defaultReplyTimeout
	}
	for i := range h.slots {
		h.slots[i].proto, h.slots[i].loop = 2+i/n, p.loops.of(i%n)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// nextSlot returns a slot for a client that has just come.
func (h *hub) nextSlot() int { return int(h.next.Add(1) % uint32(len(h.slots)/2)) }

// slotFor returns the slot that is like slot i but of the other protocol, or
// i.
func (h *hub) slotFor(i, proto int) int {
	n := len(h.slots) / 2
	return i%n + (proto-2)*n
}

// get returns the pipe of a slot, and opens it if there is none.
func (h *hub) get(ctx context.Context, i int) (*pipe, error) { return h.pipeOf(ctx, &h.slots[i]) }

// ready returns the pipe of a slot, or nil if there is none just now.
func (h *hub) ready(i int) *pipe {
	s := &h.slots[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe == nil || s.pipe.hasEnded() {
		return nil
	}
	return s.pipe
}

func (h *hub) pipeOf(ctx context.Context, s *slot) (*pipe, error) {
	for {
		s.mu.Lock()
		if s.pipe != nil && !s.pipe.hasEnded() {
			defer s.mu.Unlock()
			return s.pipe, nil
		}
		if s.refused != nil && time.Now().Before(s.until) {
			defer s.mu.Unlock()
			return nil, s.refused
		}
		d := s.dialing
		if d == nil {
			d = &dialing{done: make(chan struct{})}
			s.dialing = d
			go h.open(s, d)
		}
		s.mu.Unlock()
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// open opens a pipe, for all who wait for it.
func (h *hub) open(s *slot, d *dialing) {
	conn, err := h.proxy.upstreams.prepared(h.ctx, func(conn net.Conn) error {
		if s.proto == 2 {
			return nil
		}
		return exchange(conn, resp.AppendCommand(nil, "HELLO", "3"), 1)
	})
	var refused error
	if r, ok := errors.AsType[*refusal](err); ok {
		err = &upstreamError{err} // which is no reason to count it: it can be opened
		if r.lasts() {
			refused = err
		}
	} else if err != nil {
		err = h.refused(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialing = nil
	s.refused, s.until = refused, time.Now().Add(refusedFor)
	if d.err = err; err == nil {
		s.pipe = newPipe(conn, s.loop, h.limit, func(p *pipe, why error, waiting []parcel, commands []byte) { h.lost(s, p, why, waiting, commands) })
		if h.isClosed() {
			s.pipe.close()
		}
		h.proxy.count(func(st *Stats) { st.Pipes++ })
	}
	close(d.done)
}

// lost is told by a pipe of its end. What it has not written goes over another.
func (h *hub) lost(s *slot, p *pipe, why error, waiting []parcel, commands []byte) {
	h.proxy.count(func(st *Stats) { st.Pipes--; st.PipesLost++ })
	s.mu.Lock()
	if s.pipe == p {
		s.pipe = nil
	}
	s.mu.Unlock()
	h.proxy.log.Debug("shared upstream ended", "cache", h.proxy.Addr, "reason", lossText(why))
	for _, w := range waiting {
		h.forward(s, w, commands[:w.size])
		commands = commands[w.size:]
	}
}

// forward sends commands that have not been sent.
func (h *hub) forward(s *slot, w parcel, commands []byte) {
	for {
		p, err := h.pipeOf(w.to.ctx, s)
		if err == nil {
			if err = p.submit(w.to, commands, w.n); err == nil {
				return
			}
			continue // it has ended already
		}
		var answer []byte
		for range w.n {
			answer = append(answer, "-"+oneLine(dialRefusal(err))+"\r\n"...)
		}
		now := time.Now()
		if w.to.deliver(answer, w.n, w.size, now) && w.to.flush(now) {
			w.to.awaitReader()
		}
		return
	}
}

// upstreamError is why an upstream cannot be opened.
type upstreamError struct{ err error }

func (e *upstreamError) Error() string { return e.err.Error() }
func (e *upstreamError) Unwrap() error { return e.err }

// own returns an upstream for one client, with its settings and no other state.
func (h *hub) own(ctx context.Context, w *settings) (net.Conn, error) {
	for {
		r := h.takeReturned()
		if r == nil {
			break
		}
		// Nobody has read from it.
		trusted := time.Since(r.since) < maxTrust && heard(r.conn) == nil
		if (trusted || alive(r.conn)) && w.settle(r.conn, r.left, h.proxy.Dialer.ClientName) == nil {
			return r.conn, nil
		}
		r.conn.Close()
	}
	conn, err := h.proxy.upstreams.prepared(ctx, func(conn net.Conn) error { return w.settle(conn, handed{proto: 2}, "") })
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, h.refused(err)
	}
	h.proxy.limit(conn)
	return conn, nil
}

// refused counts an upstream that could not be opened.
func (h *hub) refused(err error) error {
	if err != errDraining {
		h.proxy.count(func(s *Stats) { s.dialFailed(err) })
	}
	return &upstreamError{err}
}

func (h *hub) takeReturned() *returnedUpstream {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.returned) - 1
	if last < 0 {
		return nil
	}
	r := h.returned[last]
	h.returned = h.returned[:last]
	r.timer.Stop()
	return r
}

// alive reports whether a connection answers.
func alive(conn net.Conn) bool {
	conn.SetDeadline(time.Now().Add(lastWords))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write(resp.AppendCommand(nil, "PING")); err != nil {
		return false
	}
	frame, err := resp.NewReader(conn).ReadFrame()
	return err == nil && string(frame) == "+PONG\r\n"
}

// giveBack takes an upstream on which nothing but settings is left and no reply
// is due.
func (h *hub) giveBack(conn net.Conn, left handed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.returned) >= maxReturned {
		conn.Close()
		return
	}
	r := &returnedUpstream{conn: conn, left: left, since: time.Now()}
	r.timer = time.AfterFunc(maxIdle, func() { h.expire(r) })
	h.returned = append(h.returned, r)
}

func (h *hub) expire(r *returnedUpstream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, other := range h.returned {
		if other == r {
			h.returned = append(h.returned[:i], h.returned[i+1:]...)
			r.conn.Close()
			return
		}
	}
}

func (h *hub) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// close ends all upstreams of the hub.
func (h *hub) close() {
	h.cancel()
	h.mu.Lock()
	h.closed = true
	for _, r := range h.returned {
		r.timer.Stop()
		r.conn.Close()
	}
	h.returned = nil
	h.mu.Unlock()
	for i := range h.slots {
		s := &h.slots[i]
		s.mu.Lock()
		p := s.pipe
		s.mu.Unlock()
		if p != nil {
			p.close()
		}
	}
}
