package proxy

import "runtime"

// loops are what clients and upstreams are spread over. Half of the processors
// is what one machine can give them while Redis, or the network to it, and the
// clients need the rest; on two cores a second one takes more than it gives.
type loops []*loop

func newLoops() loops {
	all := make(loops, loopCount())
	for i := range all {
		all[i] = newLoop()
	}
	return all
}

var loopCount = func() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// of returns the loop of the i-th of some things.
func (all loops) of(i int) *loop { return all[i%len(all)] }

// close ends the loops. Nobody may be in them.
func (all loops) close() {
	for _, l := range all {
		l.close()
	}
}
