package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// arrival bounds how long what was sent may be under way before it counts as lost.
const arrival = 10 * time.Second

// work is what the scenarios of a row share.
type work struct {
	driver driver
	tally  *tally
	prefix string        // of all keys and channels
	tags   []string      // hash tags, one for each primary
	pace   time.Duration // between two rounds of a scenario, on average
	block  time.Duration // limit of blocking commands, and about how long a transaction is open: well within a token's life
	long   time.Duration // how long blocking commands without a limit wait to be served, if there are to be any
	stop   <-chan struct{}

	mu   sync.Mutex // guards ends
	ends []func()
}

// atEnd has end called when the row has been counted, before its client is closed.
func (w *work) atEnd(end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, end)
}

// close calls what atEnd was given.
func (w *work) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.ends {
		end()
	}
	w.ends = nil
}

// scenario is one use of a client. Run returns when work.stop is closed and what was sent has arrived; the error is a
// failure that ended it. Ready is called when it is under way.
type scenario struct {
	name string
	run  func(ctx context.Context, w *work, ready func()) error
}

var scenarios = []scenario{
	{"plain", plain},
	{"pipeline", pipelines},
	{"transaction", transactions},
	{"script", scripts},
	{"pub/sub", pubSub},
	{"served pop", servedPops},
	{"empty pop", emptyPops},
	{"stream", streams},
	{"long pop", longPops},
	{"long stream", longStreams},
	{"cache", cached},
	{"held", heldIdle},
	{"open transaction", openTransactions},
}

// start runs all scenarios. Ready is closed when each is under way or has ended; done when all have ended.
func (w *work) start(ctx context.Context) (ready, done <-chan struct{}) {
	var starting, running sync.WaitGroup
	for _, s := range scenarios {
		starting.Add(1)
		running.Go(func() {
			ready := sync.OnceFunc(starting.Done)
			defer ready()
			if err := s.run(ctx, w, ready); err != nil {
				w.tally.fail(s.name, err)
			}
		})
	}
	return closedAfter(&starting), closedAfter(&running)
}

func closedAfter(g *sync.WaitGroup) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		g.Wait()
		close(c)
	}()
	return c
}

// key returns a key of a scenario at the nth primary.
func (w *work) key(scenario string, n int) string {
	return w.prefix + ":" + scenario + ":" + w.tags[n%len(w.tags)]
}

// every calls round, numbered from 0, until stop, at random so that no rhythm meets another: between two is pace on
// average. After the first of each primary it says that it is ready.
func (w *work) every(ctx context.Context, scenario string, pace time.Duration, ready func(), round func(n int) error) {
	for n := 0; w.pause(ctx, rand.N(2*pace+1)); n++ {
		if err := round(n); err != nil {
			w.tally.fail(scenario, err)
		}
		if n == len(w.tags)-1 {
			ready()
		}
	}
}

// pause returns false when there is no more to do.
func (w *work) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// do runs a command and counts it.
func (w *work) do(ctx context.Context, command ...string) (string, error) {
	return w.on(ctx, w.driver, command...)
}

// doer is a driver, or a connection held.
type doer interface {
	Do(ctx context.Context, command ...string) (string, error)
}

// on runs a command there and counts it.
func (w *work) on(ctx context.Context, d doer, command ...string) (string, error) {
	v, err := d.Do(ctx, command...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command[0], err)
	}
	w.tally.add(func(c *counts) { c.Commands++ })
	return v, nil
}

// expect is do with the only right reply.
func (w *work) expect(ctx context.Context, want string, command ...string) error {
	return w.expectOn(ctx, w.driver, want, command...)
}

func (w *work) expectOn(ctx context.Context, d doer, want string, command ...string) error {
	got, err := w.on(ctx, d, command...)
	if err == nil && got != want {
		err = fmt.Errorf("%s: reply %q, want %q", command[0], got, want)
	}
	return err
}
