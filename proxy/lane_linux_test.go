package proxy_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// Clients gather in one loop while they send many commands at a time, and spread
// again when they do not. None of them notices.
func TestRidesChangeLoops(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		proxy.SetLoops(t, 2)
		r := overRides(t, rideOptions{plaintext: plaintext, life: 2 * time.Second})
		const clients, batches = 6, 200
		var counts [clients]int
		var links [clients]*socketLink
		for i := range links {
			links[i] = r.connect()
		}
		// phase has each client count, so many commands at a time.
		phase := func(each int) {
			var all sync.WaitGroup
			for i, c := range links {
				all.Go(func() {
					for range batches {
						var b []byte
						for range each {
							b = resp.AppendCommand(b, "INCR", "k"+strconv.Itoa(i))
						}
						c.Write(b)
						for range each {
							counts[i]++
							if got, err := c.r.ReadFrame(); err != nil || string(got) != ":"+strconv.Itoa(counts[i])+"\r\n" {
								t.Errorf("got %q, %v, want %d", got, err, counts[i])
								return
							}
						}
					}
				})
			}
			all.Wait()
		}
		seats := func(want ...int) {
			t.Helper()
			if got := proxy.Seats(r.Proxy); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("got %d connections in the loops, want %d", got, want)
			}
		}
		phase(1)
		r.aboard()
		seats(clients, clients) // two connections each
		phase(8)
		seats(2*clients, 0)
		phase(1)
		seats(clients, clients)
		r.reauths(1)
		phase(8)
		phase(1)
		r.aboard()
		seats(clients, clients)
	})
}
