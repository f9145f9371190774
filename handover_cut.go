package entraredis

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// maxOverlaps is how often the two streams are compared before it is given up
// for a while.
const maxOverlaps = 32

var (
	errAlike    = errors.New("the messages are too much alike to tell where the two streams stand")
	errElse     = errors.New("the two connections do not get the same messages")
	errCannot   = errors.New("the marker may not be used")
	errSettings = errors.New("the client has changed its settings meanwhile")
)

// cut holds the client up and changes connections at one point of the order of
// messages. It reads from a in the client's place: a Read that is under way
// begins again when this is over, under its own deadline.
func (h *handover) cut() (err error) {
	h.step = "cut"
	c := h.c
	most := min(c.authTimeout(), maxCut)
	endWrites, err := c.writes.seize(time.Now().Add(most), false)
	if err != nil {
		return fmt.Errorf("wait for the client's write: %w", err)
	}
	defer func() {
		endWrites()
		if h.old != nil {
			h.old.Close() // now that nobody waits for it
		}
		if c.due.Load() && c.possible() {
			go c.proceed()
		}
	}()
	endReads, err := c.reads.seize(time.Now().Add(most), true)
	if err != nil {
		return fmt.Errorf("wait for the client's read: %w", err)
	}
	defer endReads()

	deadline := time.Now().Add(most)
	for _, set := range []func(time.Time) error{c.upstream.SetDeadline, h.b.SetDeadline} {
		if err := set(deadline); err != nil {
			return err
		}
	}
	h.a = newSide(c.upstream.get(), c.veil, h.seed)
	h.a.readFailed, h.a.writeFailed = c.readingEnded, c.ownBrokeOff
	if err := h.settleA(); err != nil {
		h.giveBack()
		return err
	}
	if err := h.change(deadline); err != nil {
		h.giveBack()
		return err
	}
	return nil
}

// settleA reads from a until nothing is due to the client and a frame has
// ended; from there on its messages go through a veil.
func (h *handover) settleA() error {
	c, a := h.c, h.a
	for {
		c.mu.Lock()
		movable, settled, between := c.tracker.Movable(), c.tracker.Settled(), c.tracker.BetweenReplies()
		c.mu.Unlock()
		switch {
		case c.readErr != nil:
			return c.readErr
		case !movable:
			return errNotNeeded
		case len(c.ahead) > maxCarried:
			return errTooMuchCarried
		case settled && (between || c.veil != nil):
			if a.veil == nil {
				a.veil = reauth.NewVeil(h.marker)
			}
			a.veil.Use(h.marker)
			c.veil = nil
			a.take = h.deliver
			return nil
		}
		n, err := a.Read(a.buf)
		b := a.buf[:n]
		if settled {
			c.mu.Lock()
			n = c.tracker.ToBoundary(b)
			c.mu.Unlock()
			b, a.rest = b[:n], b[n:]
		}
		c.receive(b, nil)
		if err != nil && len(a.rest) == 0 {
			a.readFailed(err)
			return err
		}
	}
}

// deliver takes what came from a for the client.
func (h *handover) deliver(b []byte) error {
	h.c.receive(b, nil)
	if len(h.c.ahead) > maxCarried {
		return errTooMuchCarried
	}
	return nil
}

// keep takes what came from b.
func (h *handover) keep(b []byte) error {
	if !h.keeps {
		return nil // the client has it from a
	}
	if h.kept = append(h.kept, b...); len(h.kept)+len(h.c.ahead) > maxCarried {
		return errTooMuchCarried
	}
	return nil
}

// change brings b to the same point as a and puts it in its place.
func (h *handover) change(deadline time.Time) error {
	c := h.c
	c.mu.Lock()
	now := c.tracker.Standing()
	c.mu.Unlock()
	if !now.SameSettings(h.has) {
		return errSettings
	}
	if err := h.b.subscribe(now.Since(h.has)); err != nil {
		return fmt.Errorf("subscriptions: %w", err)
	}
	h.has = now

	h.b.take = h.keep
	err := errCannot
	if h.publisher != nil {
		if err := h.publisher.SetDeadline(deadline); err != nil {
			return err
		}
		err = h.byMarker()
	}
	if errors.Is(err, errCannot) {
		err = h.byOverlap()
	}
	if err != nil {
		return err
	}
	return h.replace()
}

// byMarker publishes a marker to both. Redis writes it into the output of both
// at one point of the order of messages: what comes before it is taken from a,
// what comes behind it from b, and left in kept.
func (h *handover) byMarker() error {
	h.subscribed = true
	if err := h.a.ask(reauth.Entered, "SUBSCRIBE", h.marker); err != nil {
		if _, refused := errors.AsType[*refusedError](err); refused {
			h.subscribed = false
			return errCannot
		}
		return fmt.Errorf("marker: %w", err)
	}
	if h.has.Patterns() {
		// One may match the marker, and nothing tells when its messages have all
		// come: in one go with the marker's from Redis itself, but not from any
		// service, and later if the answer to PUBLISH is lost.
		h.a.veil.Doubt()
	}
	reached, err := publish(h.publisher, h.marker)
	if _, refused := errors.AsType[*refusedError](err); refused {
		if err := h.a.ask(reauth.Left, "UNSUBSCRIBE", h.marker); err != nil {
			return fmt.Errorf("marker: %w", err)
		}
		h.subscribed = false
		return errCannot
	}
	if err == nil && reached < 2 {
		// They hang on several nodes, between which there is no one order.
		err = errElse
	}
	if err != nil {
		return fmt.Errorf("publish the marker: %w", err)
	}
	if err := h.a.until(reauth.Marked); err != nil {
		return fmt.Errorf("marker on the old connection: %w", err)
	}
	if err := h.b.until(reauth.Marked); err != nil {
		return fmt.Errorf("marker on the new connection: %w", err)
	}
	h.keeps = true
	return h.unmarkB()
}

// unmarkB ends b's subscription to the marker.
func (h *handover) unmarkB() error {
	if err := h.b.ask(reauth.Left, "UNSUBSCRIBE", h.marker); err != nil {
		return fmt.Errorf("marker: %w", err)
	}
	h.markedB = false
	if int(h.b.veil.Total()) != h.has.Count() {
		return errElse
	}
	return nil
}

// byOverlap finds out by comparing where b stands when a does at a PING. Three
// of them, each sent when the one before has been answered, to b, a and b: at
// the second, b had brought all that came before the first, and nothing that
// came behind the third.
func (h *handover) byOverlap() error {
	if h.markedB {
		if err := h.unmarkB(); err != nil {
			return err
		}
	}
	for range maxOverlaps {
		if err := h.b.ask(reauth.Ponged, "PING", h.marker); err != nil {
			return fmt.Errorf("overlap: %w", err)
		}
		before := len(h.b.sums)
		if err := h.a.ask(reauth.Ponged, "PING", h.marker); err != nil {
			return fmt.Errorf("overlap: %w", err)
		}
		ends, err := h.messagesOfB()
		if err != nil {
			return fmt.Errorf("overlap: %w", err)
		}
		if before = min(before, len(h.b.sums)); len(h.b.sums) != before+len(ends)-1 {
			continue // more than are remembered
		}
		seen, err := overlap(h.a.sums, h.b.sums[:before], h.b.sums[before:])
		if errors.Is(err, errAlike) {
			continue
		}
		if err == nil {
			h.kept = h.kept[ends[seen]:]
		}
		return err
	}
	return errAlike
}

// messagesOfB reads from b up to a PONG. It returns where in kept each message
// begins, and where the last one ends.
func (h *handover) messagesOfB() (ends []int, err error) {
	b := h.b
	h.kept, h.keeps = nil, true
	defer func() { h.keeps = false }()
	b.veil.Expect(reauth.Ponged)
	if _, err := b.Write(resp.AppendCommand(nil, "PING", h.marker)); err != nil {
		return nil, err
	}
	ends = []int{0}
	for {
		switch sign, err := b.next(); {
		case err != nil:
			return nil, err
		case sign == reauth.Ponged:
			return ends, nil
		case sign == reauth.Message:
			ends = append(ends, len(h.kept))
		default:
			return nil, errUnasked
		}
	}
}

// replace puts b in the place of a. Nothing is due on either, and kept is what
// b has brought behind what the client has got from a.
func (h *handover) replace() error {
	c := h.c
	if !h.keepB() {
		return net.ErrClosed
	}
	old, ok := c.upstream.replace(h.b.Conn)
	if !ok {
		h.b.Close()
		return net.ErrClosed
	}
	h.old = old
	c.mu.Lock()
	s := &c.state
	s.token, s.refusals, s.refused, s.waited = h.token, 0, nil, reauth.None
	c.mu.Unlock()
	c.receive(h.kept, nil)
	if h.a.veil.Doubtful() {
		h.b.veil.Doubt()
		c.veil = h.b.veil
	} else {
		c.receive(h.b.veil.Flush(), nil)
	}
	c.receive(h.b.rest, nil)
	return nil
}

// giveBack leaves a to the client again. Replies to ours that are still to come
// are kept from it.
func (h *handover) giveBack() {
	c, a := h.c, h.a
	if h.subscribed && c.readErr == nil {
		c.upstream.SetWriteDeadline(time.Now().Add(time.Second)) // what there was may have passed
		a.veil.Expect(reauth.Left)
		if _, err := a.Write(resp.AppendCommand(nil, "UNSUBSCRIBE", h.marker)); err != nil {
			a.writeFailed(err)
		}
	}
	switch {
	case a.veil == nil || a.veil == c.veil:
	case a.veil.Over():
		c.receive(a.veil.Flush(), nil)
	default:
		c.veil = a.veil
	}
	c.receive(a.rest, nil)
}

// unveil returns what of b is the client's, in place where all of it is.
func (c *conn) unveil(b []byte) (keep []byte) {
	from, at := 0, 0 // b[from:at] is, as it stands
	for at < len(b) {
		n, out, _, err := c.veil.Next(b[at:])
		at += n
		if len(out) != n {
			keep = append(append(keep, b[from:at-n]...), out...)
			from = at
		}
		if err != nil || c.veil.Over() {
			// If it is an error the tracker says what is wrong.
			keep = append(append(keep, b[from:at]...), c.veil.Flush()...)
			c.veil = nil
			return append(keep, b[at:]...)
		}
	}
	if keep == nil {
		return b[from:]
	}
	return append(keep, b[from:]...)
}
