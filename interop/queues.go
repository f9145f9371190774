package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// endMark is the last that a producer sends, so that a consumer ends that blocks for ever.
const endMark = "end"

// produce sends numbers from 1 on until stop, then as many end marks as there are consumers. It returns how many numbers
// were sent. Each waits for the one before it, and no longer than it has to for the end.
func (w *work) produce(ctx context.Context, scenario string, consumers int, wait func() time.Duration, send func(value string) error) (sent int64) {
	for w.pause(ctx, wait()) {
		if err := send(strconv.FormatInt(sent+1, 10)); err != nil {
			w.tally.fail(scenario, err)
			continue
		}
		sent++
	}
	for range consumers {
		if err := send(endMark); err != nil {
			w.tally.fail(scenario, err)
		}
	}
	return sent
}

// soon is a wait of pace on average.
func (w *work) soon() time.Duration { return rand.N(2*w.pace + 1) }

// beyond is a wait that takes a connection over the end of its token.
func (w *work) beyond() time.Duration { return w.long }

// servedPops has one goroutine wait in BLPOP for what another pushes.
func servedPops(ctx context.Context, w *work, ready func()) error {
	ready()
	w.pops(ctx, "served pop", w.key("queue", 0), w.block, w.soon)
	return nil
}

// longPops is the same with BLPOP 0.
func longPops(ctx context.Context, w *work, ready func()) error {
	ready()
	if w.long > 0 {
		w.pops(ctx, "long pop", w.key("long-queue", 1), 0, w.beyond)
	}
	return nil
}

func (w *work) pops(ctx context.Context, scenario, key string, limit time.Duration, wait func() time.Duration) {
	var q sequence
	var consumer sync.WaitGroup
	consumer.Go(func() {
		for {
			value, ok, err := w.driver.Pop(ctx, key, limit)
			switch {
			case err != nil || !ok && limit == 0:
				w.tally.fail(scenario, errors.Join(err, errNothing(ok)))
				if !afterFailure(ctx) {
					return
				}
			case value == endMark:
				return
			case ok:
				q.see(value)
				w.tally.add(func(c *counts) { c.Pops++; c.Commands++; c.Late += late(limit) })
			}
		}
	})
	sent := w.produce(ctx, scenario, 1, wait, func(value string) error {
		_, err := w.do(ctx, "RPUSH", key, value)
		return err
	})
	consumer.Wait()
	w.tally.take(&q, sent)
}

// late is 1 for what was waited for without a limit.
func late(limit time.Duration) int64 {
	if limit == 0 {
		return 1
	}
	return 0
}

// errNothing says that a command without a limit came back with nothing.
func errNothing(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("nothing returned, and there was no limit")
}

// emptyPops waits for what never comes, and as long as it was told to.
func emptyPops(ctx context.Context, w *work, ready func()) error {
	w.every(ctx, "empty pop", w.pace, ready, func(n int) error {
		begin := time.Now()
		value, ok, err := w.driver.Pop(ctx, w.key("nothing", n+1), w.block)
		took := time.Since(begin)
		if err != nil {
			return err
		}
		if ok {
			return fmt.Errorf("BLPOP of an empty list returned %q", value)
		}
		// A server that counts in hundredths may be a little early.
		if took < w.block-50*time.Millisecond {
			return fmt.Errorf("BLPOP gave up after %v of %v", took, w.block)
		}
		w.tally.add(func(c *counts) { c.Timeouts++; c.Commands++ })
		return nil
	})
	return nil
}

// afterFailure keeps a consumer from failing as fast as it can. It returns false when the row is over.
func afterFailure(ctx context.Context) bool {
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}
