package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// reference is the token lifetime that the windows below are written for.
const reference = 20 * time.Second

const (
	// atRefresh starts the fault when the contestant's first token request after its first token leaves.
	atRefresh = "refresh"
	// at13s starts the fault 13 s into a token of 20 s, just before go-redis-entraid refreshes (70 % of the lifetime).
	at13s = "13s"
)

// margin is how long before the token's expiry the issuer answers again at the latest: past expiry no client holds a valid
// token, and the table would measure luck.
const margin = time.Second

// requestTimeout is the client-side time-out of the case "timeout".
const requestTimeout = 500 * time.Millisecond

// long is the one case with tokens of 60 s; its window, too, is written for 20 s.
const long = "503 15s of 60s from refresh"

func issuerCases(short bool) []spec {
	kinds := []string{"503", "refused", "timeout", "hang"}
	windows := []time.Duration{1500 * time.Millisecond, 4 * time.Second, 6 * time.Second}
	placements := []string{atRefresh, at13s}
	lifetime := reference
	if short {
		windows, placements, lifetime = windows[1:2], placements[:1], reference/2
	}
	var cases []spec
	add := func(name, kind, placement string, window, lifetime time.Duration) {
		cases = append(cases, spec{
			Case:  name,
			Fault: kind, Window: window, Placement: placement, Lifetime: lifetime,
			PoolSize: 10, Workers: 8, Pause: 10 * time.Millisecond,
			Limit: 3*lifetime + 45*time.Second,
		})
	}
	if !short {
		// Longer than azidentity's own three retries last (about 9 s), which carry a client over the others.
		add(long, "503", atRefresh, reference/4, 3*reference)
	}
	for _, placement := range placements {
		for _, kind := range kinds {
			for _, window := range windows {
				add(fmt.Sprintf("%s %v from %s", kind, window, placement), kind, placement, window, lifetime)
			}
		}
	}
	return cases
}

// runIssuer runs one case of the issuer table: load on a healthy Redis while the issuer fails.
func runIssuer(ctx context.Context, s spec) (result, error) {
	scaled := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * float64(s.Lifetime) / float64(reference))
	}
	w, err := newWorld(ctx, s.Lifetime, false)
	if err != nil {
		return result{}, err
	}
	if s.Fault == "timeout" {
		w.gate.timeout(requestTimeout)
	}
	f, err := w.open(s.Contestant)
	if err != nil {
		return result{}, err
	}
	client := redis.NewClient(f.options(&redis.Options{Addr: w.emulator.RedisAddr(), PoolSize: s.PoolSize}))
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}

	expiry, err := w.expiry()
	if err != nil {
		return result{}, err
	}

	// Long enough for the latest possible fault, the expiry of the token it hit, and what comes after both.
	span := s.Lifetime + scaled(12*time.Second)
	before := w.emulator.Stats()
	l := startLoad(ctx, client, s.Workers, s.Pause, span)
	o := outage{
		begin:  func() func() { return w.fail(s.Fault) },
		length: scaled(s.Window), since: l.started, latest: expiry.Add(-margin),
	}
	switch s.Placement {
	case atRefresh:
		// Requests in the first tenth belong to the first token, whose own retries may still be running.
		w.gate.beforeToken(func() {
			if time.Since(l.started) > s.Lifetime/10 {
				o.start()
			}
		})
	case at13s:
		time.AfterFunc(time.Until(expiry.Add(-scaled(7*time.Second))), o.start)
	}
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	after := w.emulator.Stats()
	l.finish()

	r := result{Requests: w.gate.requests.Load(), Dropped: after.Expired - before.Expired}
	l.tally(&r)
	from, to := o.times()
	if from == 0 {
		return result{}, fmt.Errorf("no token was asked for within %v", span)
	}
	last := min(scaled(6*time.Second), span-s.Lifetime)
	r.FaultFrom, r.FaultTo = from.Seconds(), to.Seconds()
	r.RateBefore, r.RateAfter = l.rate(0, from), l.rate(span-last, span)
	return r, nil
}

// recovered says that the load's last seconds were at least half as fast as the time before the fault. Wedged clients
// are at zero; the rest of the scale is the noise of a shared machine.
func (r result) recovered() bool { return r.RateBefore > 0 && r.RateAfter >= r.RateBefore/2 }

// An outage happens once.
type outage struct {
	begin  func() (clear func())
	length time.Duration
	since  time.Time
	latest time.Time // when it ends, whatever its length

	once     sync.Once
	mu       sync.Mutex
	from, to time.Duration
}

// start begins the outage and arranges its end. Later calls do nothing.
func (o *outage) start() {
	o.once.Do(func() {
		clear := o.begin()
		length := max(0, min(o.length, time.Until(o.latest)))
		o.mu.Lock()
		defer o.mu.Unlock()
		o.from = time.Since(o.since)
		o.to = o.from + length
		time.AfterFunc(length, clear)
	})
}

func (o *outage) times() (from, to time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.from, o.to
}
