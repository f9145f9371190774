package entraredis_test

import (
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

var lifetimes = flag.Int("lifetimes", 20, "for how many token lifetimes TestStates holds each state of a connection")

// state is one that a connection can be in while its token ends.
type state struct {
	name string
	// server says why it takes a real Redis; "" means that the emulator's own
	// one will do.
	server string
	// virtual says why it is held under a virtual clock only.
	virtual string
	hold    func(h *held)
}

// states has them all, as docs/states.md does.
var states = slices.Concat(plainStates, sessionStates, modeStates, transactionStates, scriptStates, subscriberStates, endingStates, blockingStates)

// TestStates holds each state for -lifetimes token lifetimes on one connection
// to an emulator that closes a connection when its token ends, and then proves
// that the state is still what it was.
//
// ENTRAREDIS_REDIS_SERVER names the redis-server that holds the data; all
// states are then held at the same time, by the clock on the wall. Without it
// (or with -short) the clock is virtual, the Redis is the emulator's own, and
// states that this one does not know are skipped.
func TestStates(t *testing.T) {
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" || testing.Short() {
		for _, s := range states {
			t.Run(s.name, func(t *testing.T) {
				if s.server != "" {
					t.Skipf("takes a redis-server in ENTRAREDIS_REDIS_SERVER: %s", s.server)
				}
				holdVirtually(t, s)
			})
		}
		return
	}
	shared := &world{bin: bin}
	shared.redis = startRedisServer(t, bin)
	shared.em = emulate(t, shared.redis, emulator.Options{}, nil)
	// Not t.Parallel: waiting needs no processor, and there are more states
	// than processors.
	var all sync.WaitGroup
	for _, s := range states {
		all.Go(func() {
			t.Run(s.name, func(t *testing.T) {
				if s.virtual != "" {
					holdVirtually(t, s)
					return
				}
				w := *shared
				s.hold(newHeld(t, &w))
			})
		})
	}
	all.Wait()
}

func holdVirtually(t *testing.T, s state) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{virtual: true}
		w.em = emulate(t, "", emulator.Options{}, nil)
		s.hold(newHeld(t, w))
	})
}

// realLife is the lifetime of tokens by the clock on the wall. A tenth of it is
// what a re-AUTH has at least, and a busy machine takes much of that.
const realLife = 3 * time.Second

// life is how long a token is issued for.
func (w *world) life() time.Duration {
	if w.virtual {
		return tokenLife
	}
	return realLife
}

// longest is how long a token can live: its end is rounded up to a second.
func (w *world) longest() time.Duration { return w.life() + time.Second }

// span is how long a state is held.
func (w *world) span() time.Duration { return time.Duration(*lifetimes) * w.longest() }
