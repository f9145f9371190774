package entraredis

import "time"

// instant is a point in time on two clocks. The wall clock may be set in
// either direction; the monotonic one stands still while the machine is
// suspended. A deadline counts as reached when either clock says so.
type instant struct {
	wall time.Time
	mono time.Duration // since the clock's base
}

// clock reads both.
type clock struct {
	base time.Time
	wall func() time.Time // replaced by tests that set the clock
}

func newClock() clock { return clock{base: time.Now(), wall: time.Now} }

func (c *clock) mono() time.Duration { return time.Since(c.base) }

func (c *clock) now() instant {
	// Without Round the subtraction of two wall times would be a monotonic one.
	return instant{wall: c.wall().Round(0), mono: c.mono()}
}

// at returns the instant that lies at t by the wall clock.
func (i instant) at(t time.Time) instant {
	return instant{wall: t.Round(0), mono: i.mono + t.Sub(i.wall)}
}

// until is the time from i to t by the clock that is further on.
func (i instant) until(t instant) time.Duration {
	return min(t.wall.Sub(i.wall), t.mono-i.mono)
}

func (i instant) reached(t instant) bool { return i.until(t) <= 0 }
