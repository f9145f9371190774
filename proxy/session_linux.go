package proxy

import "time"

// park lets the loop have a client that has sent nothing more and may send. If
// it reports true, the client is no longer the caller's.
func (s *session) park() bool {
	if s.socket == nil || !s.toSeat() {
		return false
	}
	if s.socket.detach() && s.hub.slots[s.slot].loop.sit(&s.seat, s, s.socket, nil) {
		s.mu.Lock()
		s.listen() // for replies that have come since
		s.mu.Unlock()
		if s.seat.release() {
			return true
		}
	}
	s.fromSeat()
	return false
}

// toSeat has replies written by the loop from here on. It reports false if
// somebody writes just now.
func (s *session) toSeat() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seated = !s.draining && !s.gone
	s.due.Store(false) // of a stage that is over
	return s.seated
}

func (s *session) fromSeat() {
	s.socket.attach()
	s.mu.Lock()
	s.seated = false
	s.mu.Unlock()
	if s.flush(time.Now()) {
		s.awaitReader()
	}
}

// listen has the loop wait for what is to be waited for. s.mu is held.
func (s *session) listen() {
	mask := pollIn
	if len(s.out) > 0 {
		mask |= pollOut
	}
	s.seat.await(clientSock, mask)
}

// resume is serve for a client that was the loop's.
func (s *session) resume() {
	due := s.due.Swap(false)
	if s.own != nil {
		s.own.resume(due)
		return
	}
	s.fromSeat()
	s.leave(s.goOn(nil))
}

// turn reads what the client has sent, and writes what it did not take at once.
func (s *session) turn(l *loop, sock int, events uint32) bool {
	if s.own != nil {
		return s.own.ride.turn(l, sock, events)
	}
	if events&pollOut != 0 {
		s.flush(l.now)
	}
	n, err := s.socket.tryRead(l.plain[:largeBuffer])
	s.ended = err != nil
	return err == nil && s.send(l.plain[:n], l)
}

func (s *session) leaves() bool { return s.ctx.Err() != nil || s.due.Load() }

// quits ends a client that is owed nothing and has left: it needs no goroutine for
// that.
func (s *session) quits() bool {
	if s.own != nil {
		return s.own.quits()
	}
	s.mu.Lock()
	done := s.ended && !s.refused && s.owed == 0 && s.unread() == 0 && len(s.in.bytes()) == 0
	s.mu.Unlock()
	if done {
		s.abandon()
		s.leave(errLeft)
	}
	return done
}
