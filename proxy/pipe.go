package proxy

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// What a pipe may hold. Behind these bounds clients are not read from.
const (
	maxPending = 1 << 20 // bytes that wait to be written
	maxDue     = 1 << 15 // commands without a reply

	// muchPending is what is worth a write of its own, in bytes: Redis works on
	// it while the loop reads from other clients. It reads no more at a time than
	// twice that.
	muchPending = 8 << 10

	// maxAtOnce is what the send buffer of a socket and the receive buffer of
	// the other side take together at least, in bytes.
	maxAtOnce = 32 << 10
)

// pipe is an upstream that many clients share. What they send while a write is
// under way goes out in the next one; replies come in the order of the commands,
// and go to whoever is due the next one.
//
// A goroutine writes, and one reads or the loop does. The reader is the one that
// ends the pipe.
type pipe struct {
	conn net.Conn
	loop *loop // nil where there is none
	seat seat
	// limit is how long upstream may be silent while replies are due; 0 = for
	// ever.
	limit time.Duration
	// lost is called at the end, with the commands that have not been written
	// and their bytes.
	lost func(p *pipe, why error, waiting []parcel, commands []byte)

	mu      sync.Mutex
	work    sync.Cond // on mu: there is something to write, or the end
	room    sync.Cond // on mu: there is room again, or the end
	pending []byte    // not yet being written
	waiting []parcel  // whose commands are in pending
	sent    []parcel  // whose commands have been handed to Write
	spare   []byte    // to become pending
	writing bool      // somebody is, with the bytes of sent
	patient bool      // writing does not wait: the loop has the pipe
	stuck   bool      // upstream has not taken all; the loop writes the rest
	due     int       // commands without a reply
	bytes   int       // of those
	since   time.Time // of when there are any
	broken  error
	timer   *time.Timer // for limit

	heard atomic.Int64 // when something came last, as Unix nanoseconds

	polled *polled // nil if the loop cannot have it

	// Of who reads.
	reader pipeReader
	failed error // what reading ended with
}

// parcel is some commands of a client, one behind the other.
type parcel struct {
	to   *session
	n    int // commands without a reply
	size int // in bytes
}

var (
	errPipeBroken = errors.New("pipe is broken")
	errUnasked    = errors.New("a reply that no command asked for")
)

func newPipe(conn net.Conn, l *loop, limit time.Duration, lost func(*pipe, error, []parcel, []byte)) *pipe {
	p := &pipe{conn: conn, loop: l, polled: polledOf(conn), limit: limit, lost: lost}
	p.reader.pipe = p
	p.work.L, p.room.L = &p.mu, &p.mu
	if limit > 0 {
		p.mu.Lock()
		p.timer = time.AfterFunc(limit, p.listen)
		p.mu.Unlock()
	}
	go p.write()
	go p.read()
	return p
}

// submit takes commands of a client, once there is room for them. It returns
// errPipeBroken, and nothing of them has been sent then.
func (p *pipe) submit(to *session, commands []byte, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.broken == nil && !p.hasRoom() {
		p.room.Wait()
	}
	if p.broken != nil {
		return errPipeBroken
	}
	p.take(to, commands, n)
	p.work.Signal()
	return nil
}

// trySubmit is submit if that need not wait. writeSoon has to follow, at once if
// much has gathered.
func (p *pipe) trySubmit(to *session, commands []byte, n int) (taken, much bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil || !p.hasRoom() {
		return false, false
	}
	p.take(to, commands, n)
	return true, len(p.pending) >= muchPending
}

func (p *pipe) hasRoom() bool { return len(p.pending) < maxPending && p.due < maxDue }

// take puts commands behind those that wait; with the lock held.
func (p *pipe) take(to *session, commands []byte, n int) {
	p.pending = append(p.pending, commands...)
	if last := len(p.waiting) - 1; last >= 0 && p.waiting[last].to == to {
		p.waiting[last].n += n
		p.waiting[last].size += len(commands)
	} else {
		p.waiting = append(p.waiting, parcel{to, n, len(commands)})
	}
	if p.due == 0 {
		p.since = time.Now()
	}
	p.due += n
	p.bytes += len(commands)
}

// write writes what has gathered, until the pipe is broken.
func (p *pipe) write() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if len(p.pending) > 0 || p.broken != nil {
			// Others may be about to add to it.
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
		}
		for (len(p.pending) == 0 || p.writing || p.stuck) && p.broken == nil {
			p.work.Wait()
		}
		if p.broken != nil {
			return
		}
		p.writeBatch()
	}
}

// writeSoon has what has gathered written: here and now, which spares a
// goroutine's wake-up, if the system surely takes it without waiting.
func (p *pipe) writeSoon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.broken != nil || p.writing || p.stuck || len(p.pending) == 0:
	case p.bytes > maxAtOnce && !p.patient:
		p.work.Signal()
	default:
		p.writeBatch()
		if len(p.pending) > 0 {
			p.work.Signal() // which came to nothing meanwhile
		}
	}
}

// writeBatch writes what has gathered; with the lock held, but not meanwhile.
func (p *pipe) writeBatch() {
	batch, n := p.pending, 0
	for _, w := range p.waiting {
		n += w.n
	}
	p.pending, p.spare = p.spare[:0], nil
	p.sent = append(p.sent, p.waiting...)
	p.waiting = p.waiting[:0]
	p.writing = true
	p.room.Broadcast()
	p.mu.Unlock()
	err := p.send(batch, n)
	p.mu.Lock()
	p.writing, p.stuck = false, p.patient && p.polled.isBehind()
	if !p.patient {
		p.work.Broadcast() // see endPatience
	}
	if cap(batch) <= 2*maxPending {
		p.spare = batch
	}
	if err != nil {
		// Replies to what went out before may still come.
		p.fail(err)
		p.conn.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// send writes n commands, of which the connection need not find out that they
// are stateless.
func (p *pipe) send(batch []byte, n int) error {
	var err error
	if c, ok := p.conn.(interface {
		WritePlain([]byte, int) (int, error)
	}); ok {
		_, err = c.WritePlain(batch, n)
	} else {
		_, err = p.conn.Write(batch)
	}
	return err
}

// endPatience waits until nobody counts on writing not to wait.
func (p *pipe) endPatience() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.patient = false; p.writing; {
		p.work.Wait()
	}
}

// unstick has writing go on.
func (p *pipe) unstick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = false
	p.work.Signal()
}

// listen ends the pipe if upstream has been silent for too long, and looks
// again when that may be so.
func (p *pipe) listen() {
	if p.isDead() {
		hangUp(p.conn) // which may wait: the loop must not, for the lock
	}
}

func (p *pipe) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return false
	}
	left := p.limit
	if p.due > 0 {
		heard := time.Unix(0, p.heard.Load())
		if heard.Before(p.since) {
			heard = p.since
		}
		left -= time.Since(heard)
	}
	if left > 0 {
		p.timer.Reset(left)
		return false
	}
	p.fail(silence(p.limit))
	return true
}

// silence is the error of a pipe that was silent for so long.
type silence time.Duration

func (s silence) Error() string { return "no reply for " + time.Duration(s).String() }

// stop lets nobody in any longer.
func (p *pipe) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(err)
}

// fail is stop with the lock held.
func (p *pipe) fail(err error) {
	if p.broken == nil {
		p.broken = err
	}
	p.work.Broadcast()
	p.room.Broadcast()
	p.seat.evict()
}

func (p *pipe) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken != nil
}

// close ends the pipe.
func (p *pipe) close() {
	p.stop(net.ErrClosed)
	hangUp(p.conn)
}

// read hands replies to those they are due, until the pipe ends or is the
// loop's.
func (p *pipe) read() {
	in := buffer{}
	defer in.release()
	for p.failed == nil {
		for i, s := range p.reader.slow {
			s.awaitReader()
			p.heard.Store(time.Now().UnixNano())
			p.reader.slow[i] = nil
		}
		p.reader.slow = p.reader.slow[:0]
		if p.park() {
			return
		}
		var b []byte
		if b, p.failed = in.read(p.conn); p.failed == nil {
			p.failed = p.got(b, time.Now())
			p.reader.flush()
		}
	}
	p.end()
}

// got deals with what has come.
func (p *pipe) got(b []byte, now time.Time) error {
	p.heard.Store(now.UnixNano())
	p.reader.now = now
	return p.reader.take(b)
}

// end tells everybody of the end of the pipe.
func (p *pipe) end() {
	p.stop(p.failed)
	hangUp(p.conn)
	r := &p.reader
	p.mu.Lock()
	flying := append(r.parcels, p.sent...)
	waiting, commands := p.waiting, p.pending
	p.sent, p.waiting, p.pending, p.due, p.bytes = nil, nil, nil, 0, 0
	if p.timer != nil {
		p.timer.Stop()
	}
	err := p.broken // of a write that failed, if that was first
	p.mu.Unlock()
	for i, f := range flying {
		f.to.fail(f, i == 0 && r.begun, err)
	}
	p.lost(p, err, waiting, commands)
}

// lossText is what is said of a pipe that has ended with err.
func lossText(err error) string {
	if err == nil || err == io.EOF || errors.Is(err, net.ErrClosed) {
		return "closed"
	}
	return err.Error()
}
