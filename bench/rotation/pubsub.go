package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// runPubSub numbers messages and looks for gaps and repetitions at subscribers that outlive their token. The publisher
// has a token that lasts, so that only the subscribers are under test.
func runPubSub(ctx context.Context, s spec, w *world, f fit) (result, error) {
	client := newClient(s, w, f)
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}
	// Channel() buffers 100 messages; a full buffer drops them, which is no loss on the wire.
	const buffer = 10_000
	subs := make([]*redis.PubSub, s.Workers)
	for i := range subs {
		subs[i] = client.Subscribe(ctx, "numbers")
		if _, err := subs[i].Receive(ctx); err != nil {
			return result{}, fmt.Errorf("subscribe: %w", err)
		}
	}
	publisher, err := newPublisher(ctx, w)
	if err != nil {
		return result{}, err
	}
	defer publisher.Close()
	count := w.count()
	orders := make([]order, len(subs))
	var readers sync.WaitGroup
	for i, sub := range subs {
		messages := sub.Channel(redis.WithChannelSize(buffer))
		readers.Go(func() {
			for m := range messages {
				if n, err := strconv.ParseInt(m.Payload, 10, 64); err == nil {
					orders[i].see(n)
				}
			}
		})
	}
	sent, err := publish(ctx, publisher, s)
	if err != nil {
		return result{}, err
	}
	if err := sleep(ctx, time.Second); err != nil { // what is on its way arrives
		return result{}, err
	}
	r := count()
	for _, sub := range subs {
		_ = sub.Close()
	}
	readers.Wait()
	for i := range orders {
		r.OK += orders[i].seen
		r.Repeated += orders[i].repeated
		r.Lost += sent - (orders[i].seen - orders[i].repeated)
	}
	return r, nil
}

// newPublisher returns a connected client with a token that outlives the case.
func newPublisher(ctx context.Context, w *world) (*redis.Client, error) {
	token := w.emulator.Mint("app", func(claims map[string]any) {
		claims["exp"] = w.emulator.Now().Add(time.Hour).Unix()
	})
	publisher := redis.NewClient(&redis.Options{
		Addr: w.emulator.RedisAddr(), TLSConfig: w.tlsConfig(), PoolSize: 1,
		Username: w.emulator.Principal("app").ObjectID, Password: token,
	})
	if err := publisher.Ping(ctx).Err(); err != nil {
		_ = publisher.Close()
		return nil, fmt.Errorf("publisher: %w", err)
	}
	return publisher, nil
}

// publish sends numbers from 1 on for the time of the case and returns how many were sent.
func publish(ctx context.Context, publisher *redis.Client, s spec) (sent int64, err error) {
	ticker := time.NewTicker(s.Pause)
	defer ticker.Stop()
	end := time.After(s.span())
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-end:
			return sent, nil
		case <-ticker.C:
			sent++
			if err := publisher.Publish(ctx, "numbers", sent).Err(); err != nil {
				return 0, fmt.Errorf("publish: %w", err)
			}
		}
	}
}

// An order counts the numbers one subscriber saw, and those it saw again.
type order struct{ last, seen, repeated int64 }

func (o *order) see(n int64) {
	o.seen++
	if n <= o.last {
		o.repeated++
		return
	}
	o.last = n
}
