package main

import "fmt"

// heapBar is how much the live heap may grow over all Subscribe/Close cycles, in bytes.
const heapBar = 2 << 20

// judge notes which bars a row of ours misses. A peer's row misses none: it is measured, not held to them.
func judge(o outcome) outcome {
	if !o.Ours {
		return o
	}
	hook := false
	if c, err := contestantNamed(o.Spec.Contestant); err == nil {
		hook = c.hook
	}
	miss := func(format string, args ...any) { o.Misses = append(o.Misses, fmt.Sprintf(format, args...)) }
	// Inside go-redis's own hook these limits are go-redis's, whoever provides the tokens. They are printed, not judged.
	limited := hook && hookLimited[o.Spec.Case]
	if o.Status != statusDone {
		if !limited {
			miss("%s: %s", o.Status, o.Detail)
		}
		return o
	}
	if limited {
		return o
	}
	r := o.Result
	if r.OK == 0 && o.Spec.Case != "memory" {
		miss("no command succeeded")
	}
	if r.Failed > 0 {
		miss("%d failed, first: %s", r.Failed, r.FirstError)
	}
	if r.Blocked > 0 {
		miss("%d blocked past their context", r.Blocked)
	}
	if o.Spec.Table == "issuer" {
		if !r.recovered() {
			miss("throughput not recovered: %.0f/s before, %.0f/s after", r.RateBefore, r.RateAfter)
		}
		return o
	}
	if r.Dials > 0 && !hook {
		miss("%d extra dials", r.Dials)
	}
	if r.Lost != 0 || r.Repeated != 0 {
		miss("%d messages lost, %d repeated", r.Lost, r.Repeated)
	}
	if o.Spec.Case == "idle" && (r.Warm != o.Spec.PoolSize || r.Alive != r.Warm || r.Reauthed != r.Warm) {
		miss("%d of %d idle connections alive, %d re-authenticated", r.Alive, r.Warm, r.Reauthed)
	}
	if r.HeapTo > r.HeapFrom+heapBar {
		miss("heap grew by %d KB", (r.HeapTo-r.HeapFrom)>>10)
	}
	return o
}

// hookLimited are the cases that no provider behind go-redis's StreamingCredentialsProvider can pass.
var hookLimited = map[string]bool{
	"held conn": true, "watch": true, "pubsub": true, "idle": true, "memory": true,
	"empty conn": true, "empty watch": true, "failover": true,
}
