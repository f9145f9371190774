package proxy

import (
	"errors"
	"io"
	"math"
	"net"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// limited is what the connections of a Dialer are.
type limited interface {
	// Limit bounds one command and one reply, in bytes; 0 is no bound.
	Limit(command, reply int64)
}

// limit has an upstream that is one client's refuse what is too large. A pipe
// does not: it goes on behind a reply that is.
func (p *Proxy) limit(upstream net.Conn) {
	if l, ok := upstream.(limited); ok {
		l.Limit(p.MaxCommand, p.MaxReply)
	}
}

// bound returns a limit as what nothing may exceed.
func bound(limit int64) int64 {
	if limit <= 0 {
		return math.MaxInt64
	}
	return limit
}

func (p *Proxy) commandTooLarge() error {
	return &resp.LimitError{What: "command", Max: p.MaxCommand}
}

func isLimit(err error) bool {
	_, ok := errors.AsType[*resp.LimitError](err)
	return ok
}

// why returns what ended a client, of the errors of its two directions: only
// the way down tells of limits, and it may be the second to end.
func why(up, down error) error {
	if isLimit(down) {
		return down
	}
	return up
}

// muted returns err for a client that has not had all that comes before.
func muted(err error) error {
	if e, ok := errors.AsType[*resp.LimitError](err); ok {
		return &resp.LimitError{What: e.What, Max: e.Max, Mute: true}
	}
	return err
}

// refuse counts a client that ends because of a limit, and tells it, if it can
// be told.
func (c *client) refuse(e *resp.LimitError) {
	c.proxy.count(func(s *Stats) {
		if e.What == "command" {
			s.OversizedCommands++
		} else {
			s.OversizedReplies++
		}
	})
	if e.Mute {
		return
	}
	c.hush.Lock()
	c.speaks = true
	c.conn.SetDeadline(time.Now().Add(lastWords))
	c.hush.Unlock()
	// It may read nothing before it has sent all of its command.
	drained := make(chan struct{})
	go func() {
		io.Copy(io.Discard, c.conn)
		close(drained)
	}()
	if _, err := io.WriteString(c.conn, "-ERR entraredis: "+e.Error()+"\r\n"); err != nil {
		return
	}
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		<-drained // closing with unread bytes would take the error away
	}
}

// interrupt wakes who reads from the client or writes to it, but for the last
// words.
func (c *client) interrupt() {
	c.hush.Lock()
	defer c.hush.Unlock()
	if !c.speaks {
		c.conn.SetDeadline(past)
	}
}

// exceeds reports whether what stands where run ended is too large: n bytes if
// it is whole.
func (s *session) exceeds(n int) bool {
	most := bound(s.proxy.MaxCommand)
	switch s.stop {
	case whole:
		return int64(n) > most
	case partial:
		return int64(s.request.need) > most
	}
	return false
}

// refuseReply has the client end because of the reply that comes next, or is
// coming. Nothing of that is handed to it any more; what came before is.
func (s *session) refuseReply(e *resp.LimitError) {
	s.mu.Lock()
	again := s.refused
	s.refused = true
	s.mu.Unlock()
	if again {
		return
	}
	go func() {
		timer := time.AfterFunc(maxLinger, func() { s.end(muted(e)) })
		defer timer.Stop()
		if s.flushed() == nil {
			s.end(e)
		}
	}()
}

// refuse ends the client of the first parcel, whose reply is too large. before
// is what has come in front of that and not been handed over.
func (r *pipeReader) refuse(before []byte) {
	to := r.parcels[0].to
	if to.deliver(before, 0, 0, r.now) {
		r.touched = append(r.touched, to)
	}
	to.refuseReply(&resp.LimitError{What: "reply", Max: to.hub.maxReply, Mute: len(before) == 0 && r.begun})
}
