package entraredis

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func leaseOf(life time.Duration) lease { return lease{start: epoch, expires: epoch.Add(life)} }

func TestSchedule(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	tests := []struct {
		name        string
		now         time.Duration // after the issue
		life        time.Duration
		refreshOn   time.Duration // after the issue; 0 = not set
		first, last time.Duration // bounds of the answer for rnd 0 and 1, after the issue
	}{
		{"no life", 0, 0, 0, 50 * time.Millisecond, 50 * time.Millisecond},
		{"negative life", 0, -h, 0, 50 * time.Millisecond, 50 * time.Millisecond},
		{"2 s", 0, 2 * s, 0, s, 1600 * time.Millisecond},
		{"60 s", 0, m, 0, 30 * s, 48 * s},
		{"299 s", 0, 299 * s, 0, 149500 * time.Millisecond, 239200 * time.Millisecond},
		{"310 s", 0, 310 * s, 0, 155 * s, 248 * s},
		{"10 min", 0, 10 * m, 0, 5 * m, 8 * m},
		{"75 min", 0, 75 * m, 0, 70 * m, 73 * m},
		{"24 h", 0, 24 * h, 0, 24*h - 5*m, 24*h - 2*m},
		{"28 h", 0, 28 * h, 0, 28*h - 5*m, 28*h - 2*m},

		{"received late, before the window", h, 75 * m, 0, 70 * m, 73 * m},
		{"received within the window", 71 * m, 75 * m, 0, 71*m + s, 73 * m},
		{"received behind the window", 74 * m, 75 * m, 0, 74*m + s, 74*m + s},
		{"received at its end", 75 * m, 75 * m, 0, 75*m + s, 75*m + s},
		{"received after its end", 99 * m, 75 * m, 0, 99*m + s, 99*m + s},
		{"local clock 4 min behind the issuer", -4 * m, 75 * m, 0, 70 * m, 73 * m},
		{"local clock 70 min behind the issuer", -70 * m, 75 * m, 0, 70 * m, 73 * m},

		{"RefreshOn at half life", 0, 24 * h, 12 * h, 12 * h, 12 * h},
		{"RefreshOn in the past", 13 * h, 24 * h, 12 * h, 24*h - 5*m, 24*h - 2*m},
		{"RefreshOn at once", 0, 75 * m, time.Millisecond, s, s},
		{"RefreshOn within the window", 0, 75 * m, 72 * m, 70 * m, 73 * m},
		{"RefreshOn after expiry", 0, 75 * m, 80 * m, 70 * m, 73 * m},
	}
	for _, tt := range tests {
		l := leaseOf(tt.life)
		if tt.refreshOn != 0 {
			l.refreshOn = epoch.Add(tt.refreshOn)
		}
		now := epoch.Add(tt.now)
		for rnd, want := range map[float64]time.Duration{0: tt.first, 0.5: (tt.first + tt.last) / 2, 1: tt.last} {
			if got := schedule(now, l, rnd).Sub(epoch); got != want {
				t.Errorf("%s, rnd %v: %v after the issue, want %v", tt.name, rnd, got, want)
			}
		}
	}
}

// simulate counts the questions asked within a token's window by a rule, from
// its opening to expiry.
func simulate(t *testing.T, life time.Duration, rnd float64, rule func(now time.Time, l lease, n int) time.Time) int {
	t.Helper()
	l := leaseOf(life)
	now, _ := l.window()
	n := 0
	for now.Before(l.expires) {
		next := rule(now, l, n)
		if d := next.Sub(now); d < minGap || d > retryMax {
			t.Fatalf("life %v: pause %d is %v, want between %v and %v", life, n, d, minGap, retryMax)
		}
		now = next
		n++
	}
	return n
}

func TestUnchangedTokenIsAskedForSeveralTimes(t *testing.T) {
	for _, life := range []time.Duration{2 * time.Second, 20 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour} {
		for _, rnd := range []float64{0, 0.99} {
			n := simulate(t, life, rnd, func(now time.Time, l lease, n int) time.Time { return scheduleUnchanged(now, l, n, rnd) })
			if n < 5 || n > 80 {
				t.Errorf("life %v, rnd %v: asked %d times before expiry, want 5 to 80", life, rnd, n)
			}
		}
	}
	l := leaseOf(24 * time.Hour)
	l.refreshOn = epoch.Add(12 * time.Hour)
	opens, closes := l.window()
	if got := scheduleUnchanged(l.refreshOn.Add(-time.Second), l, 0, 0.5); got.Before(opens) || got.After(closes) {
		t.Errorf("unchanged before the window: %v, want within the window", got)
	}
}

func TestRetriesFitTheRemainingLife(t *testing.T) {
	for _, life := range []time.Duration{2 * time.Second, 20 * time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		for _, rnd := range []float64{0, 0.99} {
			n := simulate(t, life, rnd, func(now time.Time, l lease, n int) time.Time {
				return scheduleRetry(now, l.life(), l.expires.Sub(now), n, rnd)
			})
			if n < 5 || n > 100 {
				t.Errorf("life %v, rnd %v: tried %d times before expiry, want 5 to 100", life, rnd, n)
			}
		}
	}
	if got := scheduleRetry(epoch, time.Hour, 8*time.Second, 20, 0.5).Sub(epoch); got != 1500*time.Millisecond {
		t.Errorf("retry with 8 s left after %v, want within a quarter of them: 1.5s", got)
	}
	for n, want := range map[int]time.Duration{0: 100 * time.Millisecond, 3: 600 * time.Millisecond, 20: 22500 * time.Millisecond, 1 << 30: 22500 * time.Millisecond} {
		if got := scheduleRetry(epoch, time.Hour, 0, n, 0.5).Sub(epoch); got != want {
			t.Errorf("retry %d without a token after %v, want %v", n, got, want)
		}
	}
}

func TestRequestTimeoutLeavesRoomForMore(t *testing.T) {
	for _, tt := range []struct{ life, remaining, want time.Duration }{
		{0, 0, 30 * time.Second},
		{time.Hour, -time.Second, 30 * time.Second},
		{time.Hour, 5 * time.Minute, 30 * time.Second},
		{time.Hour, 30 * time.Second, 10 * time.Second},
		{time.Hour, time.Second, time.Second},
		{20 * time.Second, 9 * time.Second, 3 * time.Second},
		{20 * time.Second, time.Second, 500 * time.Millisecond},
		{2 * time.Second, 30 * time.Millisecond, 50 * time.Millisecond},
	} {
		if got := requestTimeout(30*time.Second, tt.life, tt.remaining); got != tt.want {
			t.Errorf("life %v, remaining %v: %v, want %v", tt.life, tt.remaining, got, tt.want)
		}
	}
}

func TestInstantGoesByTheClockThatIsFurtherOn(t *testing.T) {
	now := instant{wall: epoch, mono: time.Hour}
	end := now.at(epoch.Add(time.Minute))
	for _, tt := range []struct {
		name string
		then instant
		want time.Duration
	}{
		{"at first", now, time.Minute},
		{"both went on", instant{epoch.Add(20 * time.Second), time.Hour + 20*time.Second}, 40 * time.Second},
		{"machine was suspended", instant{epoch.Add(50 * time.Second), time.Hour + time.Second}, 10 * time.Second},
		{"wall clock set back", instant{epoch.Add(-time.Hour), time.Hour + 45*time.Second}, 15 * time.Second},
		{"wall clock set ahead", instant{epoch.Add(time.Hour), time.Hour}, -59 * time.Minute},
	} {
		if got := tt.then.until(end); got != tt.want {
			t.Errorf("%s: until = %v, want %v", tt.name, got, tt.want)
		}
	}
}
