package proxy

import (
	"io"
	"os"
	"slices"
	"time"
)

const (
	// rideBuffer is how much one ride may read at a time, in bytes, and
	// maxRideReads how often it may while others wait for their turn. With a
	// quarter of it, values of 64 KiB cost a fifth more.
	rideBuffer   = 256 << 10
	maxRideReads = 2

	// record is what a record of TLS holds, in bytes.
	record = 16 << 10
)

// park lets the loop have a ride, with begun to be sent first. If it reports
// true, the ride is no longer the caller's; otherwise rest is what has not been
// sent.
func (r *ride) park(begun []byte) (rest []byte, parked bool) {
	in := socketOf(r.conn)
	if in == nil {
		return begun, false
	}
	r.polled = polledOf(r.line.get())
	if r.polled == nil || !r.polled.begin(&r.seat) {
		return begun, false
	}
	if in.detach() && r.polled.tried.detach() && r.loop.sit(&r.seat, r.sitter(), in, r.polled.tried.socket) {
		stays := len(begun) == 0 || r.send(begun, time.Now())
		begun = nil
		if stays && (r.stage == nil || r.stage.parks()) {
			r.listen()
			r.seat.await(upstreamSock, pollIn|pollOut) // something may have been read, and not had
			if r.seat.release() {
				return nil, true
			}
		}
		r.seat.leave()
	}
	r.stand()
	return begun, false
}

// sitter is who has the seat: the client, who has it for longer than this ride.
func (r *ride) sitter() sitter {
	if r.stage != nil {
		return r.stage.session
	}
	return r
}

// stand is the inverse of park, for who has the ride.
func (r *ride) stand() {
	socketOf(r.conn).attach()
	r.polled.tried.attach()
	r.polled.end()
}

// quits ends a ride whose client has left and is owed nothing.
func (r *ride) quits() bool {
	if !r.mayQuit() {
		return false
	}
	r.client.over(r.arrive(errLeft))
	return true
}

func (r *ride) mayQuit() bool {
	return r.left && !r.more && r.lost == nil && len(r.out) == 0 && !r.polled.conn.Waits()
}

// leaves reports whether the ride is to leave the loop.
func (r *ride) leaves() bool { return r.ctx.Err() != nil }

// turn carries what has come at one of the sockets, as far as the other takes it.
func (r *ride) turn(l *loop, sock int, events uint32) bool {
	l.many = l.many || r.lane.many
	if events&pollEnd != 0 {
		return false
	}
	again := events == 0
	switch {
	case sock == clientSock:
		if events&pollOut != 0 {
			n := socketOf(r.conn).tryWrite(r.out)
			r.out = r.out[n:]
			if r.took(n, l.now); len(r.out) == 0 {
				r.out = nil
				again = r.more
			}
		}
		if events&pollIn != 0 && !r.receive(l) {
			return false
		}
	case events&pollOut != 0:
		r.polled.tried.flush()
	}
	if len(r.out) == 0 && (again || sock == upstreamSock) && !r.deliver(l) {
		return false
	}
	r.listen()
	if sock == clientSock && events&pollIn != 0 {
		return r.change(r.lane.read(&r.commands))
	}
	return true
}

// receive reads what the client has sent, and sends it.
func (r *ride) receive(l *loop) bool {
	b := l.plain[:]
	if r.stage != nil {
		b = r.stage.room(b)
	}
	n, err := socketOf(r.conn).tryRead(b)
	switch {
	case err != nil:
		r.left = err == io.EOF
		return false // which is met again
	case n == 0:
		return true
	case n > record: // or TLS would have each written by itself
		r.polled.tried.cork(l.sealed[:])
		defer r.polled.tried.uncork()
	}
	if r.stage != nil {
		return r.stage.got(b[:n], l.now)
	}
	return r.send(b[:n], l.now)
}

// change has the ride go on in another loop behind this turn, if that is not nil. It
// reports whether the ride stays in one.
func (r *ride) change(to *loop) bool {
	// What the loop has put off is its own.
	if to == nil || to == r.loop || r.seat.late || !to.opens() {
		return true
	}
	r.loop = to
	return r.seat.move(to)
}

// send sends what has come from the client. It reports whether the ride stays.
func (r *ride) send(b []byte, now time.Time) bool {
	r.asksAt(now)
	n, err := r.polled.conn.Write(b)
	r.up.Add(uint64(n))
	return err == nil && r.polled.conn.Polls()
}

// deliver reads what upstream has sent, and gives it to the client.
func (r *ride) deliver(l *loop) bool {
	r.polled.tried.lend(l.wire[:])
	defer r.polled.tried.takeBack()
	for range maxRideReads {
		n := 0
		var err error
		for err == nil && len(l.plain)-n >= record {
			var k int
			k, err = r.polled.conn.Read(l.plain[n:])
			n += k
		}
		if r.more = err == nil; n > 0 {
			if r.stage != nil {
				r.stage.observe(l.plain[:n])
			}
			r.handed(l.now)
			k := socketOf(r.conn).tryWrite(l.plain[:n])
			if k < n {
				r.out = slices.Clone(l.plain[k:n])
			}
			r.took(k, l.now)
		}
		if err != nil && err != os.ErrDeadlineExceeded {
			r.lost = err
			return false
		}
		if !r.more || len(r.out) > 0 {
			return true
		}
	}
	l.later(&r.seat)
	return true
}

// took notes that the client has taken something, and left r.out.
func (r *ride) took(n int, now time.Time) {
	r.down.Add(uint64(n))
	r.owed.Store(len(r.out) > 0)
	r.active.Store(now.UnixNano())
	if r.stage != nil && len(r.out) == 0 {
		r.stage.handedOver()
	}
}

// listen has the loop wait for what is to be waited for: a side that does not
// take what it is given is not given more, and the other goes on.
func (r *ride) listen() {
	mask := uint32(0)
	if len(r.out) > 0 {
		mask = pollOut
	}
	if r.polled.tried.hears(len(r.out) == 0) {
		mask |= pollIn
	}
	r.seat.await(clientSock, mask)
}
