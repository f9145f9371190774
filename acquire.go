package entraredis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

func (s *Source) failure(kind Kind, err error) error {
	return &TokenError{Kind: kind, Scope: s.options.Scope, Err: err}
}

// begin starts an acquisition; s.mu is held and none is in flight.
func (s *Source) begin(now instant) *attempt {
	remaining, life := time.Duration(0), time.Duration(0)
	if h := s.newest.Load(); h != nil {
		remaining, life = now.until(h.expires), h.life()
	}
	a := &attempt{done: make(chan struct{}), short: remaining > 0}
	s.inFlight, s.short = a, a.short
	delay := max(0, s.lastStart+minGap-now.mono)
	s.lastStart = now.mono + delay
	go s.run(a, delay, requestTimeout(s.options.RequestTimeout, life, remaining), s.abandoned >= maxAbandoned)
	return a
}

// run makes one call of the credential and settles the attempt with what it
// returns, or has it settled without when the call does not come back.
func (s *Source) run(a *attempt, delay, timeout time.Duration, full bool) {
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.life.Done():
			return
		}
	}
	if full {
		s.settle(a, nil, s.failure(KindIssuerUnreachable, errTooManyAbandoned), false)
		return
	}
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	giveUp := time.AfterFunc(timeout+grace(timeout), func() {
		s.settle(a, nil, s.failure(KindIssuerUnreachable,
			fmt.Errorf("no answer within %v, and the credential ignores its context: %w", timeout, context.DeadlineExceeded)), true)
	})
	defer giveUp.Stop()

	h, err := s.acquire(ctx)
	s.settle(a, h, err, false)
}

var errTooManyAbandoned = fmt.Errorf("%d earlier calls of the credential ignore their context and have not returned", maxAbandoned)

// acquire asks the credential and checks the answer. The error is a *TokenError.
func (s *Source) acquire(ctx context.Context) (h *held, err error) {
	defer func() {
		// Credentials parse what foreign processes and services answer; one
		// that stumbles must not take a program down that holds a valid token.
		if p := recover(); p != nil {
			h, err = nil, s.failure(KindUnknown, fmt.Errorf("credential panicked: %v", p))
		}
	}()
	raw, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.options.Scope}})
	if err != nil {
		return nil, s.failure(classifyToken(err), err)
	}
	h, kind, err := accept(raw, s.options.Username, s.clock.now())
	if err != nil {
		if prev, ok := s.current(); ok && kind == KindClockSkew && prev.Password() == raw.Token {
			kind, err = KindExpired, fmt.Errorf("credential returned the token again that expired at %s", stamp(prev.ExpiresOn))
		}
		return nil, s.failure(kind, err)
	}
	return h, nil
}

// settle takes the outcome of an attempt: from the call of the credential, or
// (gaveUp) from the timer that stopped waiting for it. A token that comes
// after the attempt was given up is still taken if it is newer than the one
// held.
func (s *Source) settle(a *attempt, h *held, err error, gaveUp bool) {
	s.mu.Lock()
	late := a.settled
	if s.closed.Load() || late && gaveUp {
		s.mu.Unlock()
		return
	}
	if late {
		s.abandoned--
	} else {
		a.settled, s.inFlight = true, nil
		if gaveUp {
			s.abandoned++
		}
	}
	now, prev := s.clock.now(), s.newest.Load()
	if late && (err != nil || !fresher(now, h, prev)) {
		s.mu.Unlock()
		return
	}
	ev := Event{Time: now.wall}
	switch {
	case err != nil:
		ev.Type = EventRefreshFailed
		s.fail(now, prev, err)
	case fresher(now, h, prev):
		ev.Type = EventRefreshed
		s.take(now, h)
	default:
		ev.Type = EventUnchanged
		s.keep(now, prev)
		h = prev
	}
	if !late {
		a.result, a.err = h, err
		close(a.done)
	}
	next := s.next.wall
	s.mu.Unlock()

	s.kick()
	s.report(ev, prev, h, err, next)
}

// fresher reports whether h is to replace prev: a refresh may return the token
// that is held already, and caches behind an issuer one that ends sooner.
func fresher(now instant, h, prev *held) bool {
	if prev == nil || now.reached(prev.expires) {
		return true
	}
	return !h.token.same(prev.token) && now.until(h.expires) > now.until(prev.expires)
}

// take, keep and fail note an outcome and set when to ask again. s.mu is held.

func (s *Source) take(now instant, h *held) {
	s.newest.Store(h)
	s.failed, s.same = 0, 0
	s.status.Username, s.status.ExpiresOn, s.status.LastRefresh = h.token.Username, h.token.ExpiresOn, now.wall
	s.status.LastError = nil
	s.status.Refreshes++
	// Under the lock, so that who subscribes once the token is held is not
	// told of it.
	s.subs.publish(h.token)
	s.askAt(now, schedule(now.wall, h.lease, rand.Float64()))
}

func (s *Source) keep(now instant, prev *held) {
	s.askAt(now, scheduleUnchanged(now.wall, prev.lease, s.same, rand.Float64()))
	s.failed = 0
	s.same++
	s.status.LastError = nil
	s.status.Unchanged++
}

func (s *Source) fail(now instant, prev *held, err error) {
	remaining := time.Duration(0)
	if prev != nil {
		remaining = now.until(prev.expires)
	}
	s.askAt(now, scheduleRetry(now.wall, prev.life(), remaining, s.failed, rand.Float64()))
	s.failed++
	s.failedAt = now.mono
	s.status.LastError = err
	s.status.Failures++
	s.status.Failed = countKind(s.status.Failed, kindOf(err))
}

func (s *Source) askAt(now instant, t time.Time) {
	s.next = now.at(t)
	s.nextWall.Store(t.UnixNano())
	s.status.NextAttempt = t
}

// report tells the outside of an outcome, when nobody waits any more.
func (s *Source) report(ev Event, prev, h *held, err error, next time.Time) {
	switch ev.Type {
	case EventRefreshed:
		if prev != nil && prev.token.Username != h.token.Username {
			// The new one is taken all the same: the issuer decides who the
			// credential is, and the old username would be refused with the
			// new token.
			s.log.Warn("username of the access token changed", "from", prev.token.Username, "to", h.token.Username)
		}
		s.log.Debug("access token refreshed", "username", h.token.Username, "expires_on", h.token.ExpiresOn, "next_attempt", next)
	case EventUnchanged:
		s.log.Debug("access token unchanged", "username", h.token.Username, "expires_on", h.token.ExpiresOn, "next_attempt", next)
	case EventRefreshFailed:
		h = prev
		kind := kindOf(err)
		ev.Err, ev.Reason = err, string(kind)
		attrs := []any{"error", err, "kind", kind, "next_attempt", next}
		if h != nil {
			attrs = append(attrs, "token_expires_in", h.token.ExpiresOn.Sub(ev.Time).Round(time.Millisecond))
		}
		s.log.Warn("access token not refreshed", attrs...)
	}
	if h != nil {
		ev.Username, ev.ExpiresOn = h.token.Username, h.token.ExpiresOn
	}
	s.emit(ev)
}
