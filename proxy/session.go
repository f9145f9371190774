package proxy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What a client may have under way on a pipe. Behind these bounds it is not
// read from.
const (
	maxOwed      = 1 << 10   // commands without a reply
	maxOwedBytes = 256 << 10 // of such commands

	// maxExpected bounds the replies under way to a client, in bytes, as far as
	// they can be foreseen: they are taken to be as large as the last ones
	// were, and the first ones as large as firstReply. What exceeds that, others
	// of the pipe wait for: so a client begins with 64 commands.
	maxExpected = 1 << 20
	firstReply  = 16 << 10

	// maxUnread bounds the replies that a client may leave unread while it
	// sends more, in bytes. Behind it it gets an upstream of its own, where
	// Redis holds them.
	maxUnread = 256 << 10

	// hardUnread is where the reader of a pipe waits for the client, in bytes:
	// at most until the client has taken nothing for maxStall, or has held up the
	// others of its pipe for maxHeld, of which it gets a quarter of the time back
	// that it does not. Then it is closed. The next ones have a tenth of both for
	// a while, or many would add up.
	hardUnread   = 4 << 20
	maxStall     = time.Second / 2
	maxHeld      = 2 * time.Second
	lessPatience = 10
	stallsFor    = 10 * maxStall
)

// maxSharedReply is what makes a reply a large one, in bytes: with UpstreamsAuto
// the client gets an upstream of its own then.
const maxSharedReply = 32 << 10

var (
	errSlowReader = errors.New("client did not read its replies, or too slowly")
	errCutReply   = errors.New("upstream ended inside a reply")
)

// session is a client of a proxy with shared upstreams.
type session struct {
	*client
	hub    *hub
	socket *socket
	in     inbox

	// Of whoever has the client: its goroutine, or the loop.
	slot     int
	pipe     *pipe
	shared   bool // something was sent over a pipe, or over an upstream that was given back
	settings settings
	own      *stage // while it has an upstream of its own
	request  strict
	stop     form // what stands where run ended
	ended    bool // the loop has met the end, or an error, that is still to be read

	due atomic.Bool // see stage.arm

	mu       sync.Mutex
	owed     int           // replies due from pipes
	bytes    int           // of the commands without a reply
	out      []byte        // replies that nobody is writing
	writing  int           // bytes of replies that drain is writing
	draining bool          // drain runs
	seated   bool          // the loop writes
	gone     bool          // the client takes nothing any longer
	refused  bool          // a reply was too large: see refuseReply
	reply    int           // bytes of the reply that is coming
	large    bool          // has had a large reply
	kind     byte          // of the reply that came last, its type
	typical  int           // bytes of a reply, as far as known: what maxExpected goes by
	taken    time.Time     // when the client took something last, or was handed something and had all before
	held     time.Duration // for how long it has held up its pipe
	let      time.Time     // when it did last
	wake     chan struct{} // closed by roused, if somebody waits for that
}

func newSession(c *client, h *hub) *session {
	return &session{client: c, hub: h, socket: socketOf(c.conn), slot: h.nextSlot(), settings: settings{proto: 2}, typical: firstReply}
}

// submit sends n commands over a pipe.
func (s *session) submit(commands []byte, n int) error {
	s.mu.Lock()
	s.owed += n
	s.bytes += len(commands)
	s.mu.Unlock()
	s.client.owed.Store(true)
	now := time.Now()
	s.asks(now)
	s.submitted(len(commands), n, now)
	for {
		if s.pipe == nil {
			var err error
			if s.pipe, err = s.hub.get(s.ctx, s.slot); err != nil {
				s.mu.Lock()
				s.owed -= n
				s.bytes -= len(commands)
				s.mu.Unlock()
				return err
			}
		}
		err := s.pipe.submit(s, commands, n)
		if err == nil {
			return nil
		}
		// What was sent before and not written goes over another pipe just now.
		if err := s.await(func() bool { return s.owed == n }); err != nil {
			return err
		}
		s.pipe = nil
	}
}

// send sends commands that have come over the pipe, as far as that needs no
// waiting, and tells the loop to have it written. It reports whether that was
// all of them and the client may send more. The rest is in s.in.
func (s *session) send(b []byte, l *loop) bool {
	for len(b) > 0 {
		n, count := s.run(b, s.room())
		if count == 0 || s.pipe == nil || s.isHeavy() || !s.trySubmit(b[:n], count, l) {
			s.in.hold(b)
			return false
		}
		b = b[n:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasRoom()
}

// trySubmit is submit without waiting.
func (s *session) trySubmit(commands []byte, n int, l *loop) bool {
	s.mu.Lock()
	if !s.hasRoom() {
		s.mu.Unlock()
		return false
	}
	s.owed += n
	s.bytes += len(commands)
	s.mu.Unlock()
	s.client.owed.Store(true) // before the reply can have come
	s.asks(l.now)
	taken, much := s.pipe.trySubmit(s, commands, n)
	if !taken {
		s.mu.Lock()
		s.owed -= n
		s.bytes -= len(commands)
		s.mu.Unlock()
		return false
	}
	s.submitted(len(commands), n, l.now)
	if much {
		s.pipe.writeSoon()
	} else {
		l.touch(s.pipe)
	}
	return true
}

// submitted notes that the client has sent something.
func (s *session) submitted(size, n int, now time.Time) {
	s.active.Store(now.UnixNano())
	s.up.Add(uint64(size))
	s.commands.add(n)
	s.shared = true
}

// await waits until a condition holds, which is looked at with the lock held
// whenever replies have come or have been taken.
func (s *session) await(holds func() bool) error {
	for {
		s.mu.Lock()
		if holds() {
			s.mu.Unlock()
			return nil
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// roused wakes who awaits something; with the lock held.
func (s *session) roused() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// settled waits until all replies have come.
func (s *session) settled() error {
	return s.await(func() bool { return s.owed == 0 && !s.refused })
}

// flushed waits until the client has taken all replies.
func (s *session) flushed() error {
	return s.await(func() bool { return s.gone || !s.draining && len(s.out) == 0 })
}

// mayAsk waits until the client may send more over pipes.
func (s *session) mayAsk() error {
	return s.await(s.hasRoom)
}

// hasRoom reports whether the client may have more under way; with the lock
// held.
func (s *session) hasRoom() bool {
	return !s.refused && (s.owed == 0 || s.owed < maxOwed && s.owed*s.typical < maxExpected && s.bytes < maxOwedBytes && s.unread() < maxUnread)
}

// room is how many commands more may be under way, and at least one.
func (s *session) room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, min(maxOwed, maxExpected/max(1, s.typical))-s.owed)
}

// deliver takes bytes of replies that came at now, n of which they end; size is
// that of the commands answered by then. It reports whether flush has to follow.
func (s *session) deliver(b []byte, n, size int, now time.Time) (flush bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed -= n
	s.bytes -= size
	if s.wake != nil {
		s.roused()
	}
	if s.gone || s.refused || len(b) == 0 {
		return false
	}
	if s.reply == 0 {
		s.kind = b[0]
	}
	if s.reply += len(b); s.reply > maxSharedReply && n <= 1 {
		s.large = true
	}
	if n > 0 {
		s.typical = max(s.reply/n, s.typical-s.typical/16)
		s.reply = 0
	}
	flush = len(s.out) == 0 || s.unread() > hardUnread
	if s.out == nil {
		s.out = outBuffer()
	}
	if idle := s.unread() == 0; idle || s.asked.Load() != 0 {
		s.client.handed(now)
		if idle {
			s.taken = now
		}
	}
	s.out = append(s.out, b...)
	return flush
}

// fail tells the client that commands were lost. If part of a reply is there
// already, nothing can follow it.
func (s *session) fail(f parcel, begun bool, err error) {
	s.hub.proxy.count(func(st *Stats) { st.CommandsLost += uint64(f.n) })
	if begun {
		s.end(errCutReply)
		s.deliver(nil, f.n, f.size, time.Now())
		return
	}
	line := "-ERR entraredis: the connection to the cache was lost (" + lossText(err) + "); this command may have run, and was not sent again\r\n"
	now := time.Now()
	if s.deliver([]byte(strings.Repeat(line, f.n)), f.n, f.size, now) && s.flush(now) {
		s.awaitReader()
	}
}

// answer answers a command here, behind all others.
func (s *session) answer(reply string) error {
	if err := s.settled(); err != nil {
		return err
	}
	now := time.Now()
	flush := s.deliver([]byte(reply), 0, 0, now)
	s.mu.Lock()
	s.reply = 0 // or the next one would pass for the rest of it
	s.mu.Unlock()
	if flush && s.flush(now) {
		s.awaitReader()
	}
	return nil
}

// flush lets the client have what there is for it, without waiting. It reports
// whether there is so much that awaitReader has to follow.
func (s *session) flush(now time.Time) (over bool) {
	s.mu.Lock()
	if !s.draining && len(s.out) > 0 && !s.gone {
		if s.socket != nil {
			n := s.socket.tryWrite(s.out)
			s.took(n, now)
			s.out = s.out[:copy(s.out, s.out[n:])]
		}
		switch {
		case len(s.out) == 0:
			s.emptied()
		case !s.seated:
			s.draining = true
			go s.drain()
		}
		if s.seated {
			s.listen()
		}
	}
	over = s.unread() > hardUnread
	s.mu.Unlock()
	return over
}

func (s *session) unread() int { return len(s.out) + s.writing }

// took counts what the client has taken; with the lock held.
func (s *session) took(n int, now time.Time) {
	if n > 0 {
		s.taken = now
	}
	s.down.Add(uint64(n))
	s.active.Store(now.UnixNano())
	if s.wake != nil {
		s.roused()
	}
}

// emptied runs when the client has all there is; with the lock held.
func (s *session) emptied() {
	putOutBuffer(s.out)
	s.out = nil
	if s.owed == 0 {
		s.client.owed.Store(false)
	}
}

// drain writes to a client that does not take everything at once.
func (s *session) drain() {
	var b []byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.gone {
		if len(s.out) == 0 {
			s.draining = false
			putOutBuffer(b)
			s.emptied()
			s.roused()
			return
		}
		b, s.out = s.out, b[:0]
		s.writing = len(b)
		for rest := b; len(rest) > 0 && !s.gone; {
			part := rest[:min(len(rest), largeBuffer)]
			s.mu.Unlock()
			_, err := s.conn.Write(part)
			s.mu.Lock()
			if err != nil {
				s.gone = true
				s.end(errLeft)
				break
			}
			s.writing -= len(part)
			rest = rest[len(part):]
			s.took(len(part), time.Now())
		}
	}
	s.draining, s.writing, s.out = false, 0, nil
	s.roused()
}

// awaitReader holds up the reader of a pipe for a client with many replies to
// read, and ends the client if it has read none, or too little, for too long.
func (s *session) awaitReader() {
	start := time.Now()
	s.mu.Lock()
	s.held = max(s.held-start.Sub(s.let)/4, 0)
	stall, hold := maxStall, max(maxHeld-s.held, 0)
	s.mu.Unlock()
	hasty := start.Sub(time.Unix(0, s.hub.stalled.Load())) < stallsFor
	if hasty {
		stall, hold = stall/lessPatience, hold/lessPatience
	}
	timer := time.NewTimer(stall)
	defer timer.Stop()
	for {
		s.mu.Lock()
		now := time.Now()
		left := min(stall-now.Sub(s.taken), hold-now.Sub(start))
		switch {
		case s.gone || s.unread() <= hardUnread:
			s.held += now.Sub(start)
			s.let = now
			s.mu.Unlock()
			return
		case left <= 0:
			s.mu.Unlock()
			if !hasty { // or one that comes again and again would keep all from being waited for
				s.hub.stalled.Store(now.UnixNano())
			}
			s.hub.proxy.count(func(st *Stats) { st.SlowReaders++ })
			s.end(errSlowReader)
			s.abandon()
			return
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		s.mu.Unlock()
		timer.Reset(left)
		select {
		case <-wake:
		case <-timer.C:
		case <-s.ctx.Done():
			s.abandon()
			return
		}
	}
}

// abandon drops replies from here on.
func (s *session) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if !s.draining {
		s.out = nil
	}
	s.roused()
}

// outBuffers hold replies between a pipe and its clients.
var outBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}

func outBuffer() []byte { return outBuffers.Get().(*[smallBuffer]byte)[:0] }

func putOutBuffer(b []byte) {
	if cap(b) == smallBuffer {
		outBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	}
}
