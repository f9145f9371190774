package proxy

import (
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// pipeReader is what the reading side knows.
type pipeReader struct {
	pipe     *pipe
	now      time.Time // when what take is given came
	replies  resp.Replies
	parcels  []parcel // taken from sent
	spent    []parcel // an array for the next ones
	begun    bool     // part of a reply to parcels[0] has been handed over
	pushing  bool     // inside a push, which is nobody's
	answered int
	bytes    int   // of the commands
	size     int64 // of what has come of the present reply
	touched  []*session
	slow     []*session // for which awaitReader has to be called
}

// take hands over what has come; flush has to follow.
func (r *pipeReader) take(b []byte) error {
	for len(b) > 0 {
		if r.replies.AtBoundary() {
			if r.pushing = b[0] == '>'; !r.pushing && !r.next() {
				return errUnasked
			}
		}
		if r.pushing {
			n, _, err := r.replies.Next(b)
			if err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		n, err := r.deliver(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// next makes sure that somebody is due a reply.
func (r *pipeReader) next() bool {
	if len(r.parcels) > 0 {
		return true
	}
	p := r.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	r.parcels, p.sent = p.sent, r.spent[:0]
	r.spent = r.parcels
	return len(r.parcels) > 0
}

// deliver hands over all that is at the beginning of b for the first parcel; with
// an error, what stands before the reply that is none.
func (r *pipeReader) deliver(b []byte) (n int, err error) {
	f := &r.parcels[0]
	replies, begun, limit := 0, r.begun, f.to.hub.maxReply
	for n < len(b) && f.n > 0 && (!r.replies.AtBoundary() || b[n] != '>') {
		if r.replies.AtBoundary() {
			if k, whole := r.replies.Run(b[n:], f.n, limit); k > 0 {
				n += k
				f.n -= whole
				replies += whole
				continue
			}
		}
		var k int
		var done bool
		if k, done, err = r.replies.Next(b[n:]); err != nil {
			break
		}
		if r.size += int64(k); r.size+r.replies.Ahead() > limit {
			r.refuse(b[:n])
		}
		n += k
		if done {
			f.n--
			replies++
			r.size = 0
		}
	}
	if r.begun = !r.replies.AtBoundary(); err != nil {
		r.begun = begun && replies == 0
	}
	to, size := f.to, 0
	if f.n == 0 {
		size = f.size
		r.bytes += size
		r.parcels = r.parcels[1:]
	}
	r.answered += replies
	if to.deliver(b[:n], replies, size, r.now) {
		r.touched = append(r.touched, to)
	}
	return n, err
}

// flush lets the clients have what was handed over.
func (r *pipeReader) flush() {
	for i, s := range r.touched {
		if s.flush(r.now) {
			r.slow = append(r.slow, s)
		}
		r.touched[i] = nil
	}
	r.touched = r.touched[:0]
	if r.answered == 0 {
		return
	}
	p := r.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due >= maxDue {
		p.room.Broadcast()
	}
	p.due -= r.answered
	p.bytes -= r.bytes
	r.answered, r.bytes = 0, 0
}
