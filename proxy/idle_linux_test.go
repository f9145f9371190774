package proxy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/entraredis/entraredis/proxy"
)

// Upstreams over which nothing travels are kept from the cache's time-out while the
// loop has them: those of clients, and shared ones. Nobody notices.
func TestIdleUpstreamsInTheLoop(t *testing.T) {
	for _, upstreams := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(fmt.Sprint(upstreams), func(t *testing.T) {
			r := overRides(t, rideOptions{change: func(p *proxy.Proxy) {
				p.Upstreams, p.Pipes, p.Dialer.MaxIdle = upstreams, 1, 50*time.Millisecond
			}})
			c := r.connect()
			r.do(c, "+PONG\r\n", "PING")
			r.aboard()
			r.reauths(3) // long before there is a new token
			r.do(c, "+PONG\r\n", "PING")
			r.aboard()
			if s := r.Dialer.Stats(); s.Dials != 1 || s.ReauthRefused != 0 {
				t.Errorf("got %+v", s)
			}
		})
	}
}
