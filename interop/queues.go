package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// endMark is the last that a producer sends, so that a consumer ends that blocks for ever.
const endMark = "end"

// produce sends numbers from 1 on until stop, then as many end marks as there are consumers. It returns how many numbers
// were sent.
func (w *work) produce(ctx context.Context, scenario string, consumers int, ready func(), send func(value string) error) (sent int64) {
	w.every(ctx, scenario, w.pace, ready, func(int) error {
		if err := send(strconv.FormatInt(sent+1, 10)); err != nil {
			return err
		}
		sent++
		return nil
	})
	for range consumers {
		if err := send(endMark); err != nil {
			w.tally.fail(scenario, err)
		}
	}
	return sent
}

// pubSub sends numbered messages through one connection and receives them on another.
func pubSub(ctx context.Context, w *work, ready func()) error {
	channel := w.key("channel", 0)
	var seen sync.Mutex // guards q, against messages that come too late
	var q sequence
	ended := make(chan struct{})
	end, err := w.session.Subscribe(ctx, channel, func(payload string) {
		if payload == endMark {
			close(ended)
			return
		}
		seen.Lock()
		q.see(payload)
		seen.Unlock()
		w.tally.add(func(c *counts) { c.Messages++ })
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	// Not sooner, so that its connection is counted with the others.
	w.atEnd(end)
	sent := w.produce(ctx, "publish", 1, ready, func(value string) error {
		if err := w.session.Publish(ctx, channel, value); err != nil {
			return err
		}
		w.tally.add(func(c *counts) { c.Commands++ })
		return nil
	})
	select {
	case <-ended:
	case <-time.After(arrival):
		err = errors.New("the last message did not arrive")
	}
	seen.Lock()
	defer seen.Unlock()
	w.tally.take(&q, sent)
	return err
}

// servedPops has one goroutine wait in BLPOP for what another pushes.
func servedPops(ctx context.Context, w *work, ready func()) error {
	key := w.key("queue", 0)
	var q sequence
	var consumer sync.WaitGroup
	consumer.Go(func() {
		for {
			value, ok, err := w.session.Pop(ctx, key, blockFor)
			switch {
			case err != nil:
				w.tally.fail("served pop", err)
				if !afterFailure(ctx) {
					return
				}
			case value == endMark:
				return
			case ok:
				q.see(value)
				w.tally.add(func(c *counts) { c.Pops++; c.Commands++ })
			}
		}
	})
	sent := w.produce(ctx, "push", 1, ready, func(value string) error {
		_, err := w.do(ctx, "RPUSH", key, value)
		return err
	})
	consumer.Wait()
	w.tally.take(&q, sent)
	return nil
}

// emptyPops waits for what never comes, and as long as it was told to.
func emptyPops(ctx context.Context, w *work, ready func()) error {
	w.every(ctx, "empty pop", w.pace, ready, func(n int) error {
		begin := time.Now()
		value, ok, err := w.session.Pop(ctx, w.key("nothing", n+1), emptyBlock)
		took := time.Since(begin)
		if err != nil {
			return err
		}
		if ok {
			return fmt.Errorf("BLPOP of an empty list returned %q", value)
		}
		// A server that counts in hundredths may be a little early.
		if took < emptyBlock-50*time.Millisecond {
			return fmt.Errorf("BLPOP gave up after %v of %v", took, emptyBlock)
		}
		w.tally.add(func(c *counts) { c.Timeouts++; c.Commands++ })
		return nil
	})
	return nil
}

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
	const group, consumers = "group", 2
	stream := w.key("stream", 2)
	if _, err := w.session.Eval(ctx, "return redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')", stream, group); err != nil {
		return fmt.Errorf("make the group: %w", err)
	}
	d := deliveries{times: map[string]int64{}}
	var all sync.WaitGroup
	for i := range consumers {
		all.Go(func() { w.consume(ctx, stream, group, strconv.Itoa(i), &d) })
	}
	sent := w.produce(ctx, "add to stream", consumers, ready, func(value string) error {
		_, err := w.do(ctx, "XADD", stream, "*", field, value)
		return err
	})
	all.Wait()
	lost, repeated := d.of(sent)
	w.tally.add(func(c *counts) { c.Lost += lost; c.Repeated += repeated })
	pending, err := w.session.Eval(ctx, "return redis.call('XPENDING', KEYS[1], ARGV[1])[1]", stream, group)
	if err == nil && pending != "0" {
		err = fmt.Errorf("%s entries were not acknowledged", pending)
	}
	return err
}

func (w *work) consume(ctx context.Context, stream, group, consumer string, d *deliveries) {
	for {
		e, ok, err := w.session.Read(ctx, stream, group, consumer, blockFor)
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
			w.tally.add(func(c *counts) { c.Entries++; c.Commands++ })
		}
	}
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
