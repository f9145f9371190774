package proxy

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever computes beside a loop takes less and less from it, and is forgotten
// when it has left.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes time.Duration
		gave := 0
		y := yielder{give: func() { gave++; <-time.After(takes) }}
		yields := func(span time.Duration) int {
			gave = 0
			for end := time.Now().Add(span); time.Now().Before(end); <-time.After(time.Millisecond) {
				y.yield()
			}
			return gave
		}

		takes = 100 * time.Microsecond
		if n := yields(time.Second); n < 900 {
			t.Errorf("alone: yielded %d times in a second", n)
		}
		takes = 3 * time.Millisecond
		if n := yields(time.Minute); n < 5 || n > 15 {
			t.Errorf("beside one that computes: yielded %d times in a minute", n)
		}
		takes = 100 * time.Microsecond
		yields(3 * maxHold)
		takes = 3 * time.Millisecond
		y.yield()
		if until := time.Until(y.until); until != minHold {
			t.Errorf("one who comes later keeps it from yielding for %v", until)
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
		l.yielder.yield()
	}
}
