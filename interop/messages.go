package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// subscriber checks what comes to one subscription.
type subscriber struct {
	tally *tally
	ended chan struct{} // closed by the end mark

	mu   sync.Mutex // guards the rest, against messages that come too late
	q    sequence
	ends int64
}

func (s *subscriber) see(payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if payload != endMark {
		s.q.see(payload)
		s.tally.add(func(c *counts) { c.Messages++ })
		return
	}
	if s.ends++; s.ends == 1 {
		close(s.ended)
		return
	}
	s.q.repeated++
}

// finish waits for the end mark and counts what has not come before it.
func (s *subscriber) finish(sent int64) (err error) {
	select {
	case <-s.ended:
	case <-time.After(arrival):
		err = errors.New("the last message did not arrive")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.take(&s.q, sent)
	return err
}

// pubSub publishes numbered messages, which one subscriber to the channel and one to a pattern receive, on connections of
// their own where the client does not share them.
func pubSub(ctx context.Context, w *work, ready func()) error {
	channel := w.key("channel", 0)
	var subscribers [2]*subscriber
	for i, subscription := range []struct {
		name    string
		pattern bool
	}{{channel, false}, {w.prefix + ":channel:*", true}} {
		s := &subscriber{tally: w.tally, ended: make(chan struct{})}
		end, err := w.driver.Subscribe(ctx, subscription.name, subscription.pattern, s.see)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subscription.name, err)
		}
		// Not sooner, so that its connection is counted with the others.
		w.atEnd(end)
		subscribers[i] = s
	}
	ready()
	sent := w.produce(ctx, "publish", 1, w.soon, func(value string) error {
		if err := w.driver.Publish(ctx, channel, value); err != nil {
			return err
		}
		w.tally.add(func(c *counts) { c.Commands++ })
		return nil
	})
	var errs []error
	for _, s := range subscribers {
		errs = append(errs, s.finish(sent))
	}
	return errors.Join(errs...)
}
