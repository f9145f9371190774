package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// deliveries notes how often each entry was delivered. It is safe for concurrent use.
type deliveries struct {
	mu    sync.Mutex
	times map[string]int64
}

func (d *deliveries) see(value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times[value]++
}

// of returns how many of the numbers 1 to sent were not delivered, and how many deliveries were too many.
func (d *deliveries) of(sent int64) (lost, repeated int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := int64(0)
	for i := range sent {
		n := d.times[strconv.FormatInt(i+1, 10)]
		if n == 0 {
			lost++
		} else {
			known++
		}
	}
	for _, n := range d.times {
		repeated += n - 1
	}
	return lost, repeated + int64(len(d.times)) - known
}

// streams has two consumers of a group share what is added.
func streams(ctx context.Context, w *work, ready func()) error {
	return w.stream(ctx, w.key("stream", 2), w.block, w.soon, ready)
}

// longStreams is the same with BLOCK 0.
func longStreams(ctx context.Context, w *work, ready func()) error {
	if w.long == 0 {
		return nil
	}
	return w.stream(ctx, w.key("long-stream", 1), 0, w.beyond, ready)
}

func (w *work) stream(ctx context.Context, stream string, limit time.Duration, wait func() time.Duration, ready func()) error {
	const group, consumers = "group", 2
	if _, err := w.driver.Eval(ctx, "return redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')", stream, group); err != nil {
		return fmt.Errorf("make the group: %w", err)
	}
	ready()
	d := deliveries{times: map[string]int64{}}
	var all sync.WaitGroup
	for i := range consumers {
		all.Go(func() { w.consume(ctx, stream, group, strconv.Itoa(i), limit, &d) })
	}
	sent := w.produce(ctx, "add to stream", consumers, wait, func(value string) error {
		_, err := w.do(ctx, "XADD", stream, "*", field, value)
		return err
	})
	all.Wait()
	lost, repeated := d.of(sent)
	w.tally.add(func(c *counts) { c.Lost += lost; c.Repeated += repeated })
	pending, err := w.driver.Eval(ctx, "return redis.call('XPENDING', KEYS[1], ARGV[1])[1]", stream, group)
	if err == nil && pending != "0" {
		err = fmt.Errorf("%s entries were not acknowledged", pending)
	}
	return err
}

func (w *work) consume(ctx context.Context, stream, group, consumer string, limit time.Duration, d *deliveries) {
	for {
		e, ok, err := w.driver.Read(ctx, stream, group, consumer, limit)
		if err == nil && !ok && limit == 0 {
			err = errNothing(ok)
		}
		if err == nil && ok {
			err = w.expect(ctx, "1", "XACK", stream, group, e.id)
		}
		switch {
		case err != nil:
			w.tally.fail("stream", err)
			if !afterFailure(ctx) {
				return
			}
		case ok && e.value == endMark:
			return
		case ok:
			d.see(e.value)
			w.tally.add(func(c *counts) { c.Entries++; c.Commands++; c.Late += late(limit) })
		}
	}
}
