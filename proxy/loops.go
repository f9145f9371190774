package proxy

import "runtime"

// loops are what clients and upstreams are spread over. Those that have something
// to do keep one of Go's processors each, and as many are left for everything else:
// with none to spare the runtime takes them away from each other, which costs a
// third of the time.
type loops []*loop

func newLoops(of Upstreams) loops {
	all := make(loops, max(1, loopCount(of)))
	for i := range all {
		all[i] = newLoop()
	}
	return all
}

// loopCount is half of Go's processors. What is shared takes so little that it is
// half of the machine's at most: on two cores a second loop takes more than it
// gives, and each would find less to do at a time.
var loopCount = func(of Upstreams) int {
	n := runtime.GOMAXPROCS(0) / 2
	if of != UpstreamsDedicated {
		n = min(n, runtime.NumCPU()/2)
	}
	return n
}

// of returns the loop of the i-th of some things.
func (all loops) of(i int) *loop { return all[i%len(all)] }

// few are those that clients gather in that send many commands at a time.
func (all loops) few() loops { return all[:max(1, len(all)/2)] }

// close ends the loops. Nobody may be in them.
func (all loops) close() {
	for _, l := range all {
		l.close()
	}
}
