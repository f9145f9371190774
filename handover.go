package entraredis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	mathrand "math/rand/v2"
	"net"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

// A RESP2 subscriber may not AUTH. Where it cannot be served over RESP3
// either, another connection takes the place of the present one: it is
// authenticated with the newest token and given the same settings and
// subscriptions, and at one point of the order of messages the client goes on
// with it. See docs/design/engine.md.

// maxCut bounds how long the client may have to wait for the change itself,
// all else being prepared.
const maxCut = 5 * time.Second

// handoverReason stands in the events of handovers that worked.
const handoverReason = "handover"

// moving is what a conn knows of its handovers; guarded by conn.mu.
type moving struct {
	network, addr string // where it was dialed; these do not change
	on            bool   // one is under way
	failed        error  // how the last one ended
}

// actable reports whether the connection's state allows what is done when a
// re-AUTH is due. c.mu is held.
func (c *conn) actable() bool {
	return c.tracker.Deferred() == reauth.None || !c.moving.on && c.tracker.Movable()
}

// beginHandover begins one, if that is how a re-AUTH has to be made that is
// deferred for the reason why, and reports whether one is under way. c.mu is
// held.
func (c *conn) beginHandover(why reauth.Reason) bool {
	if why != reauth.Subscribed || !c.moving.on && !c.tracker.Movable() {
		return false
	}
	if !c.moving.on {
		c.due.Store(false)
		c.moving.on = true
		c.state.waited = why
		go c.handOver()
	}
	return true
}

// handOver makes one attempt. If it fails the connection is as it was, and it
// is tried again while the old token lasts.
func (c *conn) handOver() {
	h := &handover{c: c, seed: maphash.MakeSeed()}
	err := h.run()
	c.mu.Lock()
	tok, stopped := c.state.token, c.state.stopped
	c.moving.on = false
	c.moving.failed = err
	switch newest, _ := c.source.current(); {
	case errors.Is(err, errNotNeeded):
		// It takes AUTH now, or has been authenticated by one.
		c.moving.failed = nil
		if c.state.refused != nil || !newest.same(tok) {
			c.due.Store(true)
		}
	case err != nil:
		now := time.Now()
		if left := tok.ExpiresOn.Sub(now); left > 0 {
			c.schedule(scheduleRetry(now, tok.ExpiresOn.Sub(tok.IssuedAt), left, c.state.refusals, mathrand.Float64()).Sub(now))
		}
		c.state.refusals++
	case !newest.same(tok):
		c.schedule(spread(time.Now(), tok.ExpiresOn, mathrand.Float64())) // a newer one came meanwhile
	}
	c.mu.Unlock()
	if !stopped && !errors.Is(err, errNotNeeded) {
		c.reportHandover(h, tok, err)
	}
	c.proceed()
}

func (c *conn) reportHandover(h *handover, tok Token, err error) {
	if err == nil {
		c.dialer.count(func(s *Stats) { s.Handovers++ })
		c.source.log.Debug("subscriber handed over to a new connection", "addr", addrString(c.upstream), "expires_on", tok.ExpiresOn)
		c.emit(Event{Type: EventReauthenticated, Username: tok.Username, ExpiresOn: tok.ExpiresOn, Reason: handoverReason})
		return
	}
	c.dialer.count(func(s *Stats) { s.HandoverFailed++ })
	c.source.log.Warn("handover of a subscriber failed", "addr", addrString(c.upstream), "step", h.step, "error", err)
	c.emit(Event{Type: EventHandoverFailed, Username: tok.Username, ExpiresOn: tok.ExpiresOn, Reason: h.step, Err: err})
}

// errNotNeeded: the client has changed what the connection is.
var errNotNeeded = errors.New("the connection is no RESP2 subscriber any more")

// handover is one attempt.
type handover struct {
	c      *conn
	seed   maphash.Seed
	step   string // for events: "connect", "restore" or "cut"
	marker string

	a, b       *side
	publisher  net.Conn // nil: the marker may not be published
	token      Token    // of b
	has        *reauth.Standing
	keepB      func() bool // b will outlive this; false if it has been closed
	subscribed bool        // a is, to the marker
	markedB    bool        // b is
	keeps      bool        // what b brings is kept for the client
	kept       []byte
	old        net.Conn // a, once b has taken its place
}

func (h *handover) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // closes b, unless it is the client's, and publisher
	go func() {
		select {
		case <-h.c.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	h.c.mu.Lock()
	movable := h.c.tracker.Movable()
	if movable {
		h.has = h.c.tracker.Standing()
	}
	h.c.mu.Unlock()
	if !movable {
		return errNotNeeded
	}
	random := make([]byte, 16)
	rand.Read(random)
	h.marker = reauth.MarkerPrefix + hex.EncodeToString(random)
	if err := h.prepare(ctx); err != nil {
		return err
	}
	return h.cut()
}

// prepare opens what is needed while the client goes on.
func (h *handover) prepare(ctx context.Context) error {
	h.step = "connect"
	done, err := h.c.dialer.admit(ctx)
	if err != nil {
		return err
	}
	d := h.c.dialer
	nc, tok, _, err := d.open(ctx, h.c.moving.network, h.c.moving.addr)
	// Not before the second one is open: while that waited to be admitted, the
	// first would fill up with messages.
	defer done(err)
	if err != nil {
		return err
	}
	h.token = tok
	h.keepB = context.AfterFunc(ctx, func() { nc.Close() })
	h.b = newSide(nc, reauth.NewVeil(h.marker), h.seed)

	h.step = "restore"
	if err := nc.SetDeadline(time.Now().Add(h.c.authTimeout())); err != nil {
		return err
	}
	if err := h.b.set(h.has.Settings()); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := h.b.subscribe(h.has.Since(nil)); err != nil {
		return fmt.Errorf("subscriptions: %w", err)
	}
	if h.markedB, err = h.b.mayMark(h.marker); !h.markedB {
		return err
	}
	// Without it the streams can still be compared.
	if publisher, _, _, err := d.open(ctx, h.c.moving.network, h.c.moving.addr); err == nil {
		h.publisher = publisher
		context.AfterFunc(ctx, func() { publisher.Close() })
	}
	return nil
}

// mayMark subscribes to the marker. That it is not permitted, and neither
// would be to end it, is no error.
func (s *side) mayMark(marker string) (bool, error) {
	for _, ours := range []struct {
		reply reauth.Sign
		verb  string
	}{{reauth.Left, "UNSUBSCRIBE"}, {reauth.Entered, "SUBSCRIBE"}} {
		if err := s.ask(ours.reply, ours.verb, marker); err != nil {
			if _, refused := errors.AsType[*refusedError](err); refused {
				err = nil
			}
			return false, err
		}
	}
	return true, nil
}
