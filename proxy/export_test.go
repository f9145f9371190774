package proxy

import "testing"

// SetLoops has proxies that begin to serve during the test use n loops.
func SetLoops(t testing.TB, n int) {
	before := loopCount
	loopCount = func() int { return n }
	t.Cleanup(func() { loopCount = before })
}
