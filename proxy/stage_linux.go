package proxy

import "time"

// parks carries what has come from the client already. It reports whether the
// loop can have the rest.
func (t *stage) parks() bool {
	t.due.Store(false) // of a timer that came too late
	n, stays := t.advance(t.in.bytes(), time.Now())
	if t.in.skip(n); len(t.in.bytes()) == 0 {
		t.in.release()
	}
	return stays
}

// resume goes on with a client that was the loop's. due says that it is for what
// arm has set.
func (t *stage) resume(due bool) {
	r := t.ride
	r.stand()
	t.disarm()
	due = due && r.lost == nil && !r.left
	switch {
	case !t.kept.Load() || len(t.in.bytes()) > 0:
		t.session.leave(t.session.goOn(t.goOn(due)))
	case due:
		t.session.leave(r.goOn(nil))
	default:
		r.pursue()
	}
}

// quits is quits of the session.
func (t *stage) quits() bool {
	if !t.ride.mayQuit() {
		return false
	}
	t.disarm()
	t.session.leave(t.ride.arrive(errLeft))
	return true
}

// arm has the client looked at when it may have left no state for long enough.
func (t *stage) arm() {
	switch {
	case t.kept.Load():
		t.disarm()
	case t.timer == nil && !t.multi && !t.watch:
		t.timer = time.AfterFunc(untilReturn(time.Since(time.Unix(0, t.active.Load()))), func() {
			t.due.Store(true)
			t.seat.evict()
		})
	}
}

// untilReturn is how long to wait with one that has been silent for so long, and
// longer and longer if not for silence: in a command that blocks, or half sent.
func untilReturn(silent time.Duration) time.Duration {
	if silent < returnAfter {
		return min(returnAfter-silent, returnAfter)
	}
	return min(silent, 10*returnAfter)
}

func (t *stage) disarm() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// room returns where to read what the client sends: b, or behind what there is.
func (t *stage) room(b []byte) []byte {
	if len(t.in.bytes()) == 0 {
		return b
	}
	return t.in.room()
}

// got carries what has been read into room. It reports whether the loop goes on.
func (t *stage) got(b []byte, now time.Time) bool {
	held := len(t.in.bytes()) > 0
	if held {
		t.in.add(len(b))
		b = t.in.bytes()
	}
	n, stays := t.advance(b, now)
	switch {
	case held:
		t.in.skip(n)
	case n < len(b):
		t.in.hold(b[n:])
	}
	if len(t.in.bytes()) == 0 {
		t.in.release()
	}
	return stays
}

// advance sends as much of b as can be without waiting, and says how much that is.
// It reports whether the loop goes on: once more has come, if there is a rest.
func (t *stage) advance(b []byte, now time.Time) (n int, stays bool) {
	if t.kept.Load() {
		return len(b), len(b) == 0 || t.ride.send(b, now)
	}
	for n < len(b) {
		k, more, clean := t.follow(b[n:])
		if clean || k == 0 && !more {
			return n, false
		}
		if k > 0 && !t.ride.send(b[n:n+k], now) {
			return n + k, false
		}
		if n += k; more {
			break
		}
	}
	t.arm()
	return n, true
}
