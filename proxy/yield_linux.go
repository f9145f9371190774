package proxy

import (
	"syscall"
	"time"
)

const (
	// longYield is for how long the processor may be gone before whoever has it is
	// taken for one that has nothing to do with the loop, and computes: the system
	// gives such a one a few milliseconds. Then the loop yields no more for minHold,
	// and for twice as long each time that it is still so, up to maxHold.
	longYield = time.Millisecond
	minHold   = 100 * time.Millisecond
	maxHold   = 10 * time.Second
)

// yielder lets others go first that a loop has woken on its processor. What they
// send is there then when the loop looks again: it need not sleep, they need not
// wake it, and more comes at a time.
type yielder struct {
	give  func()        // gives the processor away; nil if it is not to be
	hold  time.Duration // for how long the loop keeps it behind a long yield
	until time.Time     // when it does not any longer
}

// yield lets others go first, unless they had it for long lately.
func (y *yielder) yield() {
	begun := time.Now()
	if y.give == nil || begun.Before(y.until) {
		return
	}
	y.give()
	switch end := time.Now(); {
	case end.Sub(begun) > longYield:
		y.hold = min(max(2*y.hold, minHold), maxHold)
		y.until = end.Add(y.hold)
	case begun.Sub(y.until) > y.hold:
		y.hold = 0
	}
}

// yieldNow is sched_yield(2).
func yieldNow() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
