package entraredis

import (
	"math/rand/v2"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

// minIdle bounds how often a connection is looked at.
const minIdle = 10 * time.Millisecond

// watchIdle begins to look for MaxIdle twice in that time. c.mu is not held.
func (c *conn) watchIdle() {
	if c.dialer.MaxIdle <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.traffic = true // it has just been opened
	// At first sooner, or those that were opened together would send theirs together.
	c.state.idle = time.AfterFunc(fraction(c.dialer.MaxIdle/2, rand.Float64()), c.lookIdle)
}

// lookIdle sends an AUTH, with the token that there is, over a connection that has
// had no traffic since it looked last. Where one would not be let through, or take a
// handover, none is sent: Redis's own time-out spares clients that are blocked or
// subscribed.
func (c *conn) lookIdle() {
	c.mu.Lock()
	s := &c.state
	if s.stopped {
		c.mu.Unlock()
		return
	}
	silent := !s.traffic && len(s.sent) == 0 && c.tracker.Deferred() == reauth.None
	s.traffic = false
	s.idle.Reset(max(c.dialer.MaxIdle/2, minIdle))
	c.mu.Unlock()
	if newest, _ := c.source.current(); silent && newest.Valid() {
		c.due.Store(true)
		c.proceed()
	}
}
