package proxy

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever computes beside a loop takes less and less from it, and is forgotten
// when it has left; clients that send much may take their time.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes, busy time.Duration // each yield, and what comes of it
		gave := 0
		y := yielder{give: func() { gave++; <-time.After(takes) }}
		turn := func() {
			y.yield(time.Now())
			<-time.After(busy)
			y.weigh(time.Now())
			<-time.After(time.Millisecond) // nothing to do
		}
		yields := func(span time.Duration) (n, turns int) {
			gave = 0
			for end := time.Now().Add(span); time.Now().Before(end); turns++ {
				turn()
			}
			return gave, turns
		}

		takes, busy = 100*time.Microsecond, 50*time.Microsecond
		if n, turns := yields(time.Second); n < turns {
			t.Errorf("beside one client: yielded in %d of %d turns", n, turns)
		}
		takes, busy = 3*time.Millisecond, time.Millisecond
		if n, turns := yields(time.Minute); n < turns {
			t.Errorf("beside many clients: yielded in %d of %d turns", n, turns)
		}
		takes = maxLoss
		turn()
		takes = 3 * time.Millisecond
		if n, turns := yields(time.Second); n < turns {
			t.Errorf("behind one long yield: yielded in %d of %d turns", n, turns)
		}
		takes, busy = 3*time.Millisecond, 50*time.Microsecond
		if n, _ := yields(time.Minute); n < 5 || n > 15 {
			t.Errorf("beside one that computes: yielded %d times in a minute", n)
		}
		takes = 100 * time.Microsecond
		yields(3 * maxHold)
		takes = 3 * time.Millisecond
		for gave = 0; y.until.Before(time.Now()); {
			turn()
		}
		if until := time.Until(y.until); gave != 4 || until != minHold-time.Millisecond {
			t.Errorf("one who comes later keeps it from yielding for %v, behind %d yields", until, gave)
		}
	})
}

// With one processor a loop that yields instead of sleeping would let the other
// goroutines wait until it is preempted.
func TestYieldOnOneProcessor(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true} {
		before := runtime.GOMAXPROCS(n)
		l := newLoop()
		runtime.GOMAXPROCS(before)
		if got := l.yielder.give != nil; got != want {
			t.Errorf("with %d: yields is %v", n, got)
		}
		l.yielder.yield(time.Now())
	}
}
