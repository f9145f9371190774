package rueidisentra

import "time"

// Bounds of the time until rueidis asks the hook again. rueidis asks without
// end when told a time in the past, and never again when told none.
const (
	shortest = 20 * time.Millisecond
	longest  = time.Hour
)

// refreshAfter says when rueidis is to ask again: after the Source's next
// attempt (the zero time: not known), spread by random in [0,1) over the first
// half of what then remains of the token, so that connections do not re-AUTH
// all at once and a second try remains. It is always after now.
func refreshAfter(now, attempt, expires time.Time, random float64) time.Time {
	if attempt.Before(now) || attempt.After(expires) {
		attempt = now
	}
	rest := expires.Sub(attempt)
	wait := attempt.Sub(now) + time.Duration((0.1+0.4*random)*float64(rest))
	return now.Add(min(max(wait, shortest), longest))
}
