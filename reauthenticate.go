package entraredis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

const (
	// maxSpread bounds over how long the connections of a Source spread their
	// re-AUTH, behind a new token.
	maxSpread = 3 * time.Minute

	// maxAhead bounds what is read from an idle connection while the reply to
	// an AUTH is waited for, in bytes: pushes may come before it.
	maxAhead = 64 << 10

	// minBlock bounds how often a blocking command is sent again, close to the
	// token's end.
	minBlock = 250 * time.Millisecond
)

// authState is what a connection knows of its own authentication.
type authState struct {
	token    Token   // the server has accepted it last
	sent     []Token // in AUTHs not answered yet
	refusals int     // in a row
	refused  *AuthError
	waited   reauth.Reason // why the AUTH that is due has not been sent yet
	timer    *time.Timer   // until the next AUTH is due
	idle     *time.Timer   // until lookIdle; nil if it is never
	traffic  bool          // since it looked last
	stopped  bool
	over     bool // the end of the connection has been reported
}

func (s *authState) stop() {
	s.stopped = true
	for _, t := range [...]*time.Timer{s.timer, s.idle} {
		if t != nil {
			t.Stop()
		}
	}
}

// newToken is told of each new token of the source.
func (c *conn) newToken(t Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.same(c.state.token) {
		return
	}
	c.state.refusals = 0
	c.schedule(spread(time.Now(), c.state.token.ExpiresOn, rand.Float64()))
}

// spread returns how long a connection lets a new token wait. Half of what is
// left of the old one stays for an AUTH that is refused or has to wait.
func spread(now, expires time.Time, rnd float64) time.Duration {
	return fraction(min(max(0, expires.Sub(now)/2), maxSpread), rnd)
}

// schedule asks for a re-AUTH after a while. c.mu is held.
func (c *conn) schedule(after time.Duration) {
	if c.state.stopped {
		return
	}
	if c.state.timer != nil {
		c.state.timer.Stop()
	}
	c.state.timer = time.AfterFunc(after, c.ask)
}

// ask makes a re-AUTH due, unless the connection has the newest token already:
// behind a RESET it is sent at once.
func (c *conn) ask() {
	newest, _ := c.source.current()
	c.mu.Lock()
	current := newest.same(c.state.token) && c.state.refused == nil
	c.state.waited = reauth.None
	c.mu.Unlock()
	if !current {
		c.due.Store(true)
		c.proceed()
	}
}

// catchUp makes a re-AUTH due now that would be later: between two turns of a
// blocking command is the moment. c.mu is held.
func (c *conn) catchUp() {
	s := &c.state
	if newest, ok := c.source.current(); ok && !newest.same(s.token) && len(s.sent) == 0 && s.refused == nil {
		c.due.Store(true)
	}
}

// mayBlock says how long a command may block: it leaves a part of the token's
// life for an AUTH, and less and less if none works out. c.mu is held.
func (c *conn) mayBlock() (now time.Time, longest time.Duration) {
	now = time.Now()
	return now, max(c.state.token.ExpiresOn.Sub(now)*3/4, minBlock)
}

// inject makes the tracker expect an AUTH and returns it. c.mu is held, and the
// AUTH is the next thing to be written.
func (c *conn) inject() []byte {
	t, _ := c.source.current()
	c.due.Store(false)
	c.asked.Store(true)
	c.state.waited = reauth.None
	c.state.sent = append(c.state.sent, t)
	c.tracker.Injected()
	return authCommand(t)
}

// proceed sends what may go out between two of the client's writes, if nobody
// is writing: the AUTH that is due, and what the tracker held back. What cannot
// go out yet is tried again by the client's next Write, or the Read that changes
// the state.
func (c *conn) proceed() {
	for c.due.Load() || c.ready.Load() {
		// Bytes of the client's have its time, an AUTH alone has ours.
		deadline := time.Time{}
		if !c.ready.Load() {
			deadline = time.Now().Add(c.authTimeout())
		}
		end, ok := c.writes.tryOwn(deadline)
		if !ok {
			return
		}
		if c.ready.Load() {
			c.lettingGo.Store(true)
			_, err := c.send(nil)
			c.lettingGo.Store(false)
			end()
			if err != nil {
				return
			}
			continue
		}
		auth, idle := c.takeDue()
		if auth == nil {
			end()
			if c.unread() {
				c.readAnswer()
			}
			// Who changed the state in the meantime found the gate taken.
			if c.possible() {
				continue
			}
			return
		}
		_, err := c.upstream.Write(auth)
		end()
		if err != nil {
			c.ownBrokeOff(err)
			return
		}
		c.settleAndReport()
		if idle {
			c.readAnswer()
		}
	}
}

// withholds reports whether the client's bytes wait behind a blocking command.
func (c *conn) withholds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.Withholds()
}

// possible reports whether there is something that could go out now.
func (c *conn) possible() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.state.stopped && (c.ready.Load() || c.due.Load() && c.actable())
}

// unread reports whether nothing but the answer to an AUTH of ours is still to
// come, so that the client may not read for long.
func (c *conn) unread() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.state.sent) > 0 && !c.tracker.ClientWaits()
}

// takeDue returns the AUTH to write, or nil if none may be written now, and
// whether no reply is due to the client.
func (c *conn) takeDue() (auth []byte, idle bool) {
	c.mu.Lock()
	why := c.tracker.Deferred()
	if !c.due.Load() || c.state.stopped {
		c.mu.Unlock()
		return nil, false
	}
	if why == reauth.None {
		defer c.mu.Unlock()
		idle = !c.tracker.ClientWaits()
		return c.inject(), idle
	}
	if c.beginHandover(why) {
		c.mu.Unlock()
		return nil, false
	}
	first := why != c.state.waited
	c.state.waited = why
	expires := c.state.token.ExpiresOn
	c.mu.Unlock()
	if first && why != reauth.HalfWritten && why != reauth.InFlight {
		c.dialer.count(func(s *Stats) { s.deferred(string(why)) })
		c.emit(Event{Type: EventReauthDeferred, ExpiresOn: expires, Reason: string(why)})
	}
	return nil, false
}

// readAnswer reads the reply to an AUTH from a connection that nobody reads
// from, such as an idle one in a pool.
func (c *conn) readAnswer() {
	end, ok := c.reads.tryOwn(time.Now().Add(c.authTimeout()))
	if !ok {
		return // the client is reading: it meets the answer
	}
	defer end()
	if c.polled.Load() {
		return // the answer will be read as soon as it is there
	}
	buf := make([]byte, 4<<10)
	for c.unread() && c.readErr == nil && len(c.ahead) < maxAhead {
		n, err := c.upstream.Read(buf)
		c.receive(buf[:n], nil)
		if err != nil {
			c.readingEnded(err)
			return
		}
	}
}

// result is how one AUTH ended.
type result struct {
	token   Token
	refused *AuthError
}

// settle takes the answers that have come and acts on them. c.mu is held.
func (c *conn) settle() (results []result) {
	for {
		a, ok := c.tracker.TakeAnswer()
		if !ok {
			return results
		}
		s := &c.state
		t := s.token
		if len(s.sent) > 0 && (a.OK || !a.Unseen) {
			t = s.sent[0]
			s.sent = s.sent[1:]
			c.asked.Store(len(s.sent) > 0)
		}
		r := result{token: t}
		if a.OK {
			s.token, s.refusals, s.refused = t, 0, nil
		} else {
			r.refused = c.refuse(t, a.Line)
		}
		if newest, ok := c.source.current(); ok && a.OK && !newest.same(t) {
			c.schedule(spread(time.Now(), t.ExpiresOn, rand.Float64())) // a newer one came meanwhile
		}
		results = append(results, r)
	}
}

// refuse records a refused AUTH. The connection keeps its old identity until
// the old token ends, and so long it is tried again. c.mu is held.
func (c *conn) refuse(t Token, line string) *AuthError {
	s, now := &c.state, time.Now()
	e := classifyAuth(line, t, t.Username, now)
	e.Addr = addrString(c.upstream)
	s.refused = e
	life := s.token.ExpiresOn.Sub(s.token.IssuedAt)
	if remaining := s.token.ExpiresOn.Sub(now); remaining > 0 {
		c.schedule(scheduleRetry(now, life, remaining, s.refusals, rand.Float64()).Sub(now))
	}
	s.refusals++
	return e
}

func (c *conn) settleAndReport() {
	c.mu.Lock()
	results := c.settle()
	c.mu.Unlock()
	c.report(results)
}

// report tells the outside how AUTHs ended. No lock is held.
func (c *conn) report(results []result) {
	for _, r := range results {
		if r.refused != nil {
			c.dialer.count(func(s *Stats) { s.refused(r.refused.Kind) })
			c.source.log.Warn("re-AUTH refused", "addr", addrString(c.upstream), "error", r.refused)
			c.emit(Event{Type: EventReauthRefused, Username: r.token.Username, ExpiresOn: r.token.ExpiresOn, Reason: string(r.refused.Kind), Err: r.refused})
			continue
		}
		c.dialer.count(func(s *Stats) { s.Reauths++ })
		c.source.log.Debug("re-authenticated", "addr", addrString(c.upstream), "expires_on", r.token.ExpiresOn)
		c.emit(Event{Type: EventReauthenticated, Username: r.token.Username, ExpiresOn: r.token.ExpiresOn})
	}
}

// ended reports a connection that upstream ended because its token did.
func (c *conn) ended(err error) {
	c.mu.Lock()
	s := &c.state
	// The server's clock may be a little ahead of ours.
	expired := !errors.Is(err, os.ErrDeadlineExceeded) && !s.over && !s.stopped &&
		c.tracker.Deferred() != reauth.Quitting && time.Until(s.token.ExpiresOn) < time.Second
	s.over = true
	why, refused, tok, failed := string(s.waited), s.refused, s.token, c.moving.failed
	c.mu.Unlock()
	if !expired {
		return
	}
	ev := Event{Type: EventConnectionExpired, Username: tok.Username, ExpiresOn: tok.ExpiresOn, Reason: why}
	switch {
	case refused != nil:
		ev.Reason, ev.Err = string(refused.Kind), refused
	case failed != nil && why == string(reauth.Subscribed):
		ev.Err = failed
	case why == "":
		ev.Reason = string(KindExpired)
		if err := c.source.Status().LastError; err != nil {
			ev.Err = fmt.Errorf("no newer token: %w", err)
		}
	}
	c.dialer.count(func(s *Stats) { s.Expired++ })
	c.source.log.Warn("connection ended with its token", "addr", addrString(c.upstream), "reason", ev.Reason, "error", ev.Err)
	c.emit(ev)
}

func (c *conn) emit(ev Event) {
	ev.RemoteAddr = addrString(c.upstream)
	c.source.emit(ev)
}

func (c *conn) authTimeout() time.Duration {
	return orDefault(c.dialer.AuthTimeout, defaultAuthTimeout)
}

func addrString(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}
