package rueidisentra

import (
	"testing"
	"time"
)

func TestRefreshAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for _, test := range []struct {
		name             string
		attempt, expires time.Time
		earliest, latest time.Duration
	}{
		{"an hour's token", in(56 * time.Minute), in(60 * time.Minute), 56*time.Minute + 24*time.Second, 58 * time.Minute},
		{"a day's token", in(23 * time.Hour), in(24 * time.Hour), time.Hour, time.Hour},
		{"a short token", in(2 * time.Second), in(4 * time.Second), 2200 * time.Millisecond, 3 * time.Second},
		{"attempt under way", in(-time.Second), in(2 * time.Minute), 12 * time.Second, time.Minute},
		{"attempt not known", time.Time{}, in(10 * time.Minute), time.Minute, 5 * time.Minute},
		{"attempt after expiry", in(2 * time.Hour), in(10 * time.Minute), time.Minute, 5 * time.Minute},
		{"about to expire", in(time.Millisecond), in(2 * time.Millisecond), shortest, shortest},
		{"expired", in(-time.Minute), in(-time.Second), shortest, shortest},
		{"expiry not known", in(time.Minute), time.Time{}, shortest, shortest},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := refreshAfter(now, test.attempt, test.expires, 0).Sub(now); got != test.earliest {
				t.Errorf("earliest: got %v, want %v", got, test.earliest)
			}
			latest := refreshAfter(now, test.attempt, test.expires, 1).Sub(now)
			if latest != test.latest {
				t.Errorf("latest: got %v, want %v", latest, test.latest)
			}
		})
	}
}
