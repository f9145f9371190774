package proxy

import "testing"

// Returned counts the upstreams that clients have given back.
func Returned(p *Proxy) int {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return len(p.hub.returned)
}

// SetLoops has proxies that begin to serve during the test use n loops.
func SetLoops(t testing.TB, n int) {
	before := loopCount
	loopCount = func(Upstreams) int { return n }
	t.Cleanup(func() { loopCount = before })
}
