package proxy

import (
	"syscall"
	"time"
)

const (
	// worth is how many times as long the processor may be gone as what comes then
	// keeps the loop busy. Many clients that were woken, and send, take their time; but
	// whoever computes is given some milliseconds by the system, and brings nothing.
	// Behind maxLoss of that, or behind a single event maxLoneLoss, as little is won
	// there, the loop yields no more for minHold, and for twice as long each time that
	// it is still so, up to maxHold.
	worth       = 4
	maxLoss     = 10 * time.Millisecond
	maxLoneLoss = time.Millisecond
	minHold     = 100 * time.Millisecond
	maxHold     = 10 * time.Second
)

// yielder lets others go first that a loop has woken on its processor. What they
// send is there then when the loop looks again: it need not sleep, they need not
// wake it, and more comes at a time.
type yielder struct {
	give  func()        // gives the processor away; nil if it is not to be
	away  time.Duration // for how long it was gone; 0 once weighed
	back  time.Time     // when it came back
	loss  time.Duration // for how long it was gone in vain
	most  time.Duration // of that, as the last yield allows
	hold  time.Duration // for how long the loop keeps it behind too much of that
	until time.Time     // when it does not any longer
}

// yield lets others go first, unless that was in vain lately. weigh has to follow,
// and ends it for a while behind a loss of more than most.
func (y *yielder) yield(now time.Time, most time.Duration) {
	if y.give == nil || now.Before(y.until) {
		return
	}
	y.give()
	y.most = most
	y.back = time.Now()
	y.away = y.back.Sub(now)
}

// weigh is told when the loop has done what came while it let others go first.
func (y *yielder) weigh(now time.Time) {
	if y.away == 0 {
		return
	}
	y.loss = max(y.loss+y.away-worth*now.Sub(y.back), 0)
	y.away = 0
	switch {
	case y.loss > y.most:
		y.loss = y.most
		y.hold = min(max(2*y.hold, minHold), maxHold)
		y.until = now.Add(y.hold)
	case y.back.Sub(y.until) > y.hold:
		y.hold = 0
	}
}

// yieldNow is sched_yield(2).
func yieldNow() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
