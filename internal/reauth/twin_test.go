//go:build unix

package reauth_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

var (
	conversations = flag.Int("conversations", 2000, "random conversations of TestTransparent")
	seed          = flag.Uint64("seed", 0, "seed of the first conversation of TestTransparent; 0 is random")
	workers       = flag.Int("workers", 6, "pairs of redis-servers of TestTransparent")
)

// TestTransparent holds conversations with a real Redis, once through a
// Tracker with re-AUTHs at random instants and once without, and compares what
// the client sees, byte for byte: first those in testdata/twin, then random
// ones.
//
// ENTRAREDIS_REDIS_SERVER names the redis-server to start.
func TestTransparent(t *testing.T) {
	pairs := startPairs(t, *workers)
	for _, sc := range kept(t) {
		if _, err := pairs[0].compare(sc.script, tracker); err != nil {
			t.Errorf("%s: %v", sc.name, err)
		}
	}
	if t.Failed() {
		return
	}
	if *seed == 0 {
		*seed = rand.Uint64() | 1
	}
	var total tally
	begun := time.Now()
	if failed := total.run(pairs, *seed, *conversations, tracker); failed != nil {
		t.Fatal(failed)
	}
	t.Logf("from seed %d: %v in %.1f s", *seed, &total, time.Since(begun).Seconds())
	if total.injected < *conversations/2 {
		t.Errorf("got only %d re-AUTHs: this proves nothing", total.injected)
	}
}

func tracker(sc *script) follower {
	t := reauth.New()
	if sc.longest > 0 {
		t.Block = func() (time.Time, time.Duration) { return time.Now(), sc.longest }
	}
	return t
}

func startPairs(t *testing.T, n int) []*pair {
	t.Helper()
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set: it names the redis-server to test against")
	}
	c := newCertificates(t)
	var pairs []*pair
	for range n {
		pairs = append(pairs, &pair{startServer(t, bin, c), startServer(t, bin, c)})
	}
	return pairs
}

// named is a conversation that is kept.
type named struct {
	name string
	*script
}

// kept returns the conversations in testdata/twin.
func kept(t *testing.T) (all []named) {
	t.Helper()
	files, err := filepath.Glob("testdata/twin/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/twin: %d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := parseScript(string(text))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, named{strings.TrimSuffix(filepath.Base(f), ".txt"), sc})
	}
	return all
}

// tally is what a run came to.
type tally struct {
	sync.Mutex
	conversations, commands, injected, refused     int
	secure, restricted, blocking, shortened, broke int
	secureBlocking                                 int
}

func (t *tally) String() string {
	return fmt.Sprintf("%d conversations, %d commands, %d re-AUTHs injected, %d of them refused; "+
		"%d conversations over TLS, %d of restricted users, %d with blocks (%d of them over TLS), %d with shortened ones, %d cut off",
		t.conversations, t.commands, t.injected, t.refused, t.secure, t.restricted, t.blocking, t.secureBlocking, t.shortened, t.broke)
}

func (t *tally) add(l *leg) {
	t.Lock()
	defer t.Unlock()
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	for _, e := range l.events {
		count(&t.commands, e.verb == sends || e.verb == inlines || e.verb == raw)
	}
	t.conversations++
	t.injected += l.injected
	t.refused += l.refusals
	count(&t.secure, l.tls)
	count(&t.restricted, len(l.user) > 0)
	count(&t.blocking, l.has(blockers...))
	count(&t.secureBlocking, l.tls && l.has(blockers...))
	count(&t.shortened, l.longest > 0)
	count(&t.broke, l.breaks())
}

// run holds n random conversations, and returns how the first one that was
// found to fail did, shrunk.
func (t *tally) run(pairs []*pair, seed uint64, n int, follow func(*script) follower) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for _, p := range pairs {
		wg.Go(func() {
			for failed.Load() == nil {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				sc := newScript(seed + uint64(i))
				l, err := p.compare(sc, follow)
				if err == nil {
					t.add(l)
					continue
				}
				e := p.explain(sc, seed+uint64(i), err, follow)
				failed.CompareAndSwap(nil, &e)
				return
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return *e
	}
	return nil
}

// explain shrinks a conversation that has failed.
func (p *pair) explain(sc *script, seed uint64, first error, follow func(*script) follower) error {
	_, err := p.compare(sc, follow)
	if err == nil {
		return fmt.Errorf("seed %d, but not a second time: %w\n%s", seed, first, sc)
	}
	sc = shrink(sc, func(sc *script) bool {
		_, e := p.compare(sc, follow)
		if e != nil {
			err = e
		}
		return e != nil
	})
	return fmt.Errorf("seed %d: %w\nshrunk, to be kept in testdata/twin:\n\n%s\nbefore that: %v", seed, err, sc, first)
}
