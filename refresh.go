package entraredis

import "time"

// The rules of when to ask for a token, as pure functions. Nothing here reads
// a clock or a random source.
//
// A refresh falls on a random instant between 5 and 2 minutes before expiry.
// Later than 5 minutes, because the caches of the Azure SDKs hand out the
// same token until then; earlier than 2 minutes, to leave room for retries
// and for the re-AUTH of every connection (Microsoft Learn asks for AUTH at
// least 3 minutes ahead where tokens live that long, and for jitter). Both
// bounds shrink with short lives.
const (
	windowOpens  = 5 * time.Minute
	windowCloses = 2 * time.Minute

	retryBase = 100 * time.Millisecond
	retryMax  = 30 * time.Second

	// maxSleep bounds one sleep of the refresh loop: timers stand still while
	// a machine is suspended, and do not know of a wall clock that was set.
	maxSleep = 30 * time.Second

	// minGap is the shortest distance between the starts of two acquisitions,
	// whatever else is asked for.
	minGap = 50 * time.Millisecond
)

// lease is the life of one token by the wall clock.
type lease struct {
	start     time.Time // when it was issued, or received if that is unknown
	expires   time.Time
	refreshOn time.Time // when the credential wishes to be asked again; zero if it does not say
}

func (l lease) life() time.Duration { return max(0, l.expires.Sub(l.start)) }

// window returns the bounds within which a refresh is due.
func (l lease) window() (opens, closes time.Time) {
	life := l.life()
	return l.expires.Add(-min(windowOpens, life/2)), l.expires.Add(-min(windowCloses, life/5))
}

// floor is the shortest pause between two refreshes of tokens that live that
// long.
func floor(life time.Duration) time.Duration {
	return min(max(life/20, minGap), time.Second)
}

// schedule returns when to refresh a token first. rnd is in [0, 1).
func schedule(now time.Time, l lease, rnd float64) time.Time {
	soonest := now.Add(floor(l.life()))
	opens, closes := l.window()
	if l.refreshOn.After(now) && l.refreshOn.Before(opens) {
		return later(l.refreshOn, soonest)
	}
	opens = later(opens, soonest)
	if !closes.After(opens) {
		return soonest
	}
	return opens.Add(fraction(closes.Sub(opens), rnd))
}

// scheduleUnchanged returns when to ask again after the nth refresh in a row
// (counted from 0) that returned the token already held.
func scheduleUnchanged(now time.Time, l lease, n int, rnd float64) time.Time {
	// The credential's wish was followed once and gave nothing new.
	l.refreshOn = time.Time{}
	if opens, _ := l.window(); now.Before(opens) {
		return schedule(now, l, rnd)
	}
	least := floor(l.life())
	wait := min(doubled(5*least, n), retryMax, l.expires.Sub(now)/4)
	return now.Add(max(least, jitter(wait, rnd)))
}

// scheduleRetry returns when to ask again after the nth failure in a row
// (counted from 0). remaining is what is left of the held token, zero or less
// if none is valid; life is that token's whole life, zero if there is none.
func scheduleRetry(now time.Time, life, remaining time.Duration, n int, rnd float64) time.Time {
	wait := doubled(retryBase, n)
	if remaining > 0 {
		wait = min(wait, remaining/4)
	}
	least := retryBase
	if life > 0 {
		least = min(max(life/200, minGap), retryBase)
	}
	return now.Add(max(least, jitter(wait, rnd)))
}

// requestTimeout bounds one acquisition, so that one that hangs leaves room
// for two more before the held token ends.
func requestTimeout(limit, life, remaining time.Duration) time.Duration {
	if remaining <= 0 {
		return limit
	}
	return min(limit, max(remaining/3, min(max(life/40, minGap), time.Second)))
}

// grace is how long a call may outlive its context before it is given up. A
// credential that honours its context returns a better error than ours.
func grace(timeout time.Duration) time.Duration {
	return min(max(timeout/10, minGap), time.Second)
}

// doubled returns base * 2^n, at most retryMax.
func doubled(base time.Duration, n int) time.Duration {
	for ; n > 0 && base < retryMax; n-- {
		base *= 2
	}
	return min(base, retryMax)
}

// jitter returns a duration in [d/2, d).
func jitter(d time.Duration, rnd float64) time.Duration {
	return d/2 + fraction(d/2, rnd)
}

func fraction(d time.Duration, rnd float64) time.Duration {
	return time.Duration(float64(d) * rnd)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
