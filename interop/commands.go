package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// plain writes and reads back a value that no other round has.
func plain(ctx context.Context, w *work, ready func()) error {
	w.every(ctx, "plain", w.pace, ready, func(n int) error {
		key, value := w.key("plain", n), strconv.Itoa(n)
		if err := w.expect(ctx, "OK", "SET", key, value); err != nil {
			return err
		}
		return w.expect(ctx, value, "GET", key)
	})
	return nil
}

// pipelines are long enough for an AUTH to fall into their middle.
func pipelines(ctx context.Context, w *work, ready func()) error {
	const pairs = 10
	w.every(ctx, "pipeline", 2*w.pace, ready, func(n int) error {
		key := w.key("pipeline", n)
		commands, want := make([][]string, 0, 2*pairs), make([]string, 0, 2*pairs)
		for i := range pairs {
			value := fmt.Sprintf("%d.%d", n, i)
			commands = append(commands, []string{"SET", key, value}, []string{"GET", key})
			want = append(want, "OK", value)
		}
		got, err := w.driver.Pipeline(ctx, commands)
		if err != nil {
			return err
		}
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				return fmt.Errorf("replies %q, want %q", got, want)
			}
		}
		w.tally.add(func(c *counts) { c.Commands += 2 * pairs })
		return nil
	})
	return nil
}

// transactions has two goroutines increment one counter of each primary, so that EXEC is at times refused.
func transactions(ctx context.Context, w *work, ready func()) error {
	sums := make([]atomic.Int64, len(w.tags))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			w.every(ctx, "transaction", w.pace, ready, func(n int) error {
				err := w.driver.Increment(ctx, w.key("counter", n))
				switch {
				case errors.Is(err, errRaced):
					w.tally.add(func(c *counts) { c.Raced++ })
					return nil
				case err == nil:
					sums[n%len(sums)].Add(1)
					// WATCH, GET, MULTI, SET, EXEC
					w.tally.add(func(c *counts) { c.Transactions++; c.Commands += 5 })
				}
				return err
			})
		})
	}
	both.Wait()
	for i := range sums {
		if err := w.expect(ctx, strconv.FormatInt(sums[i].Load(), 10), "GET", w.key("counter", i)); err != nil {
			return fmt.Errorf("sum of the transactions: %w", err)
		}
	}
	return nil
}

// scripts counts in Lua. Each tenth round has a script that no server knows yet.
func scripts(ctx context.Context, w *work, ready func()) error {
	sums := make([]int64, len(w.tags))
	w.every(ctx, "script", w.pace, ready, func(n int) error {
		script := fmt.Sprintf("-- %s %d\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])", w.prefix, n/10)
		i := n % len(w.tags)
		got, err := w.driver.Eval(ctx, script, w.key("script", n), "2")
		if err != nil {
			return err
		}
		sums[i] += 2
		if want := strconv.FormatInt(sums[i], 10); got != want {
			return fmt.Errorf("script returned %q, want %q", got, want)
		}
		w.tally.add(func(c *counts) { c.Scripts++; c.Commands++ })
		return nil
	})
	return nil
}

// cached waits for each change to arrive in the client's cache, which nothing but an invalidation can bring about.
func cached(ctx context.Context, w *work, ready func()) error {
	s, ok := w.driver.(cacher)
	if !ok {
		return nil
	}
	w.every(ctx, "cache", 2*w.pace, ready, func(n int) error {
		key, want := w.key("cached", n), strconv.Itoa(n)
		if err := w.expect(ctx, "OK", "SET", key, want); err != nil {
			return err
		}
		late := time.After(arrival)
		for seen := 0; seen < 3; {
			got, hit, err := s.Cached(ctx, key)
			if err != nil {
				return err
			}
			if hit {
				w.tally.add(func(c *counts) { c.Hits++ })
			}
			if got == want {
				seen++
				continue
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-late:
				w.tally.add(func(c *counts) { c.Lost++ })
				return fmt.Errorf("cache still has %q %v after %q was written", got, arrival, want)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return nil
}
