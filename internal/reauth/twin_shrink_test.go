//go:build unix

package reauth_test

import (
	"slices"
	"time"
)

// shrink drops events, and what else it can do without, as long as the
// conversation still fails. It tries for some time only.
func shrink(sc *script, fails func(*script) bool) *script {
	deadline := time.Now().Add(30 * time.Second)
	try := func(less script) bool {
		if time.Now().After(deadline) || !fails(&less) {
			return false
		}
		sc = &less
		return true
	}
	for again := true; again; {
		again = false
		for size := (len(sc.events) + 1) / 2; size > 0; size /= 2 {
			for at := 0; at+size <= len(sc.events); {
				less := *sc
				less.events = slices.Concat(sc.events[:at], sc.events[at+size:])
				if !try(less) {
					at++
					continue
				}
				again = size < 4
			}
		}
		for _, simpler := range []func(*script){
			func(s *script) { s.tls = false },
			func(s *script) { s.longest = 0 },
			func(s *script) { s.pieces = nil },
			func(s *script) { s.pieces = []int{1} },
			func(s *script) { s.user = nil },
		} {
			less := *sc
			if simpler(&less); less.String() != sc.String() {
				try(less)
			}
		}
		for i, e := range sc.events {
			if e.n == 0 && e.verb != inlines {
				continue
			}
			less := *sc
			less.events = slices.Clone(sc.events)
			if less.events[i].n = 0; e.verb == inlines {
				less.events[i].verb = sends
			}
			try(less)
		}
	}
	return sc
}
