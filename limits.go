package entraredis

import (
	"errors"
	"fmt"

	"github.com/entraredis/entraredis/internal/resp"
)

// Limit bounds one command and one reply, pushes and messages included, in
// bytes from the first to the last; 0 is no bound. What is larger ends the
// connection: upstream is closed, Write drops what it is given, and Read fails
// with a *resp.LimitError, behind the replies to the commands before. Of such a
// command no more than a part has gone out. It is part of no interface, and for
// who hands connections out, between two commands.
func (c *conn) Limit(command, reply int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracker.Limit(command, reply)
}

// tooLarge says what has exceeded its limit; nil if nothing has.
func (c *conn) tooLarge() *resp.LimitError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.TooLarge()
}

// cutOff closes upstream behind a command that was too large, once nothing is
// due to the client any more. Whoever reads meets that.
func (c *conn) cutOff() {
	c.mu.Lock()
	due := c.tracker.Due()
	c.mu.Unlock()
	if !due {
		c.upstream.Close()
	}
}

// misread is the end of reading for an error of the tracker's.
func (c *conn) misread(err error) {
	if e, ok := errors.AsType[*resp.LimitError](err); ok {
		c.readErr = e
		c.upstream.Close()
		return
	}
	c.readErr = fmt.Errorf("entraredis: upstream does not speak RESP: %w", err)
	c.Close()
}

// endsByLimit reports whether reading ended because something was too large,
// and makes that the reason.
func (c *conn) endsByLimit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.tracker.TooLarge()
	if e == nil {
		return false
	}
	if c.readErr = e; !e.Mute && c.tracker.Due() {
		// Upstream ended first, and what is due will never come.
		c.readErr = &resp.LimitError{What: e.What, Max: e.Max, Mute: true}
	}
	return true
}
