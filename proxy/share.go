package proxy

import (
	"context"
	"errors"
	"time"
)

// errParked says that the client has no goroutine for now.
var errParked = errors.New("parked")

const replyNoWait = "-ERR entraredis: WAIT and WAITAOF are about what was written on the same connection, and this client's writes went over a shared one; use dedicated upstreams\r\n"

// welcome has the client served: by the loop from the beginning if it can, which
// spares those that stay only for a moment a goroutine.
func (s *session) welcome() {
	if s.proxy.Auth != nil {
		go s.serve()
		return
	}
	s.connected()
	if s.pipe = s.hub.ready(s.slot); s.pipe != nil && s.park() {
		return
	}
	if s.socket != nil {
		s.socket.attach()
	}
	go func() { s.leave(s.goOn(nil)) }()
}

// serve is for a client that has to say first who it is.
func (s *session) serve() {
	begun, err := s.greet()
	if err != nil {
		s.leave(err)
		return
	}
	s.in.set(begun)
	s.connected()
	s.leave(s.goOn(nil))
}

// goOn carries for a client that has been greeted, with an error that it has met
// already. It returns errParked if the client is the loop's now.
func (s *session) goOn(err error) error {
	for err == nil {
		if err = s.share(); err == nil {
			err = s.dedicate()
		}
	}
	if err == errParked {
		return err
	}
	if e, ok := errors.AsType[*upstreamError](err); ok {
		s.finish()
		s.say(dialRefusal(e.err))
		return e.err
	}
	if err == errLeft || err == errUpstream || isLimit(err) {
		if !s.finish() && err != context.Cause(s.ctx) {
			err = muted(err)
		}
	}
	s.abandon()
	return err
}

// leave is the end of goOn.
func (s *session) leave(err error) {
	if err != errParked {
		s.in.release()
		s.over(err)
	}
}

// finish gives a client that asks for nothing more its last replies. It reports
// whether it has all of them.
func (s *session) finish() bool {
	timer := time.AfterFunc(maxLinger, func() { s.end(errLeft) })
	defer timer.Stop()
	return s.settled() == nil && s.flushed() == nil
}

// share carries commands over pipes, until one stands in s.in that needs an
// upstream of its own. No reply is due then.
func (s *session) share() error {
	need := 0
	if err := s.mayAsk(); err != nil { // the loop does not wait for that
		return err
	}
	for {
		if b := s.in.bytes(); len(b) > 0 && len(b) >= need {
			if s.isHeavy() {
				return s.settled()
			}
			n, count := s.run(b, s.room())
			if count > 0 {
				if err := s.submit(b[:n], count); err != nil {
					return err
				}
				s.in.skip(n)
				need = 0
				if err := s.mayAsk(); err != nil {
					return err
				}
				continue
			}
			if s.exceeds(n) {
				return s.proxy.commandTooLarge()
			}
			switch f := s.stop; {
			case f == partial && s.request.need <= maxRequest:
				need = s.request.need
			case f == whole:
				done, err := s.local(b[:n])
				if err != nil {
					return err
				}
				if !done {
					return s.settled()
				}
				s.in.skip(n)
				need = 0
				continue
			default:
				return s.settled()
			}
		}
		if len(s.in.bytes()) == 0 && !s.ended {
			s.in.release()
			if s.park() {
				return errParked
			}
		}
		if err := s.in.fill(s.conn, s.socket); err != nil {
			return errLeft
		}
	}
}

// isHeavy reports whether the client is better off with an upstream of its own,
// whatever it sends.
func (s *session) isHeavy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed == 0 && len(s.out)+s.writing >= maxUnread || s.large && s.proxy.Upstreams == UpstreamsAuto
}

// run finds the stateless commands at the beginning of b, so many at most. If
// there is none, it says in s.stop what there is, and n is its length if it is a whole command.
func (s *session) run(b []byte, most int) (n, count int) {
	var last []byte
	for n < len(b) && count < most {
		k, f := s.request.again(last, b[n:]), whole
		free := k > 0
		if !free {
			k, f = s.request.read(b[n:])
			last = b[n : n+k]
		}
		if f != whole || k > s.hub.maxRequest || n+k > maxOwedBytes && count > 0 || !free && !s.request.stateless() {
			if s.stop = f; count == 0 {
				n = k
			}
			return n, count
		}
		n += k
		count++
	}
	return n, count
}

// local answers the command last read, if that is the proxy's affair.
func (s *session) local(command []byte) (done bool, err error) {
	r := &s.request
	switch {
	case r.is("AUTH") && (r.n == 2 || r.n == 3):
		username := []byte("default")
		if r.n == 3 {
			username = r.args[1]
		}
		if s.proxy.permits(username, r.args[r.n-1]) {
			return true, s.answer(replyOK)
		}
		s.proxy.count(func(st *Stats) { st.LoginsFailed++ })
		return true, s.answer(replyWrongPass)
	case r.is("QUIT"):
		if err := s.answer(replyOK); err != nil {
			return true, err
		}
		return true, errLeft
	case s.shared && (r.is("WAIT") || r.is("WAITAOF")):
		return true, s.answer(replyNoWait)
	}
	return s.set()
}
