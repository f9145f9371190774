package main

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// runHeld pings on held connections across expiries. A connection that breaks is taken anew, as a program would.
func runHeld(ctx context.Context, s spec, w *world, f fit) (result, error) {
	client := newClient(s, w, f)
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}
	count := w.count()
	var c calls
	end := time.Now().Add(s.span())
	var wg sync.WaitGroup
	for range s.Workers {
		wg.Go(func() {
			conn := client.Conn()
			defer func() { _ = conn.Close() }()
			for time.Now().Before(end) && sleep(ctx, s.Pause) == nil {
				if err := conn.Ping(ctx).Err(); c.note(err) {
					_ = conn.Close()
					// With an idle connection at hand: what Conn does without one is the case "empty conn".
					c.note(client.Ping(ctx).Err())
					conn = client.Conn()
				}
			}
		})
	}
	wg.Wait()
	r := count()
	c.tally(&r)
	return r, ctx.Err()
}

// runWatch holds transactions open for longer than a token lives.
func runWatch(ctx context.Context, s spec, w *world, f fit) (result, error) {
	client := newClient(s, w, f)
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}
	count := w.count()
	var c calls
	for range max(1, s.Rotations/2) {
		var wg sync.WaitGroup
		for i := range s.Workers {
			wg.Go(func() {
				key := "watch-" + string(rune('a'+i))
				c.note(client.Watch(ctx, func(tx *redis.Tx) error {
					if err := tx.Set(ctx, "beside-"+key, "value", 0).Err(); err != nil {
						return err
					}
					if err := sleep(ctx, s.Lifetime*6/5); err != nil {
						return err
					}
					_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, key, "value", 0).Err() })
					return err
				}, key))
			})
		}
		wg.Wait()
		// What Watch does on an empty pool is the case "empty watch"; here each round begins with connections at hand.
		if err := warm(ctx, client, s.PoolSize); err != nil {
			c.note(err)
		}
	}
	r := count()
	c.tally(&r)
	return r, ctx.Err()
}

// runMemory subscribes and closes over and over, and compares the live heap before and after.
func runMemory(ctx context.Context, s spec, w *world, f fit) (result, error) {
	client := newClient(s, w, f)
	cycle := func() error {
		sub := client.Subscribe(ctx, "memory")
		if _, err := sub.Receive(ctx); err != nil {
			_ = sub.Close()
			return err
		}
		return sub.Close()
	}
	var c calls
	for range 100 { // pools, caches and the like reach their size
		c.note(cycle())
	}
	from := liveHeap()
	for range s.Cycles {
		if c.note(cycle()) && ctx.Err() != nil {
			return result{}, ctx.Err()
		}
	}
	r := result{HeapFrom: from, HeapTo: liveHeap()}
	c.tally(&r)
	runtime.KeepAlive(client)
	return r, nil
}

// liveHeap is the heap that survives a collection. The emulator's share is in it, the same for all.
func liveHeap() uint64 {
	// The second collection frees what finalizers and cleanups of the first let go; the pause lets goroutines of
	// closed connections end.
	runtime.GC()
	time.Sleep(500 * time.Millisecond)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// calls counts calls and keeps the first error.
type calls struct {
	mu         sync.Mutex
	ok, failed int64
	firstError string
}

// note counts a call and says whether it failed.
func (c *calls) note(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.ok++
		return false
	}
	c.failed++
	if c.firstError == "" {
		c.firstError = err.Error()
	}
	return true
}

func (c *calls) tally(r *result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.OK, r.Failed, r.FirstError = c.ok, c.failed, c.firstError
}
