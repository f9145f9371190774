package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
	"github.com/redis/go-redis/v9"
)

const (
	commandTimeout = 2 * time.Second
	// slack is how much later than its context's end a call may return before it counts as blocked.
	slack = 250 * time.Millisecond
	// slice is the width of one throughput counter.
	slice = 100 * time.Millisecond
)

// A load is workers that run SET, each with a context of its own, until stopped.
type load struct {
	started time.Time
	stop    chan struct{}
	done    sync.WaitGroup
	ok      atomic.Int64
	failed  atomic.Int64
	late    atomic.Int64   // returned later than context and slack
	flying  []atomic.Int64 // per worker: when its call began, UnixNano; 0 between calls
	slices  []atomic.Int64 // commands done per slice of time

	mu         sync.Mutex
	firstError string
	latencies  []time.Duration // of commands that succeeded; complete once wait returned true
}

// startLoad starts the workers; span bounds how long throughput is recorded.
func startLoad(ctx context.Context, client redis.UniversalClient, workers int, pause, span time.Duration) *load {
	l := &load{
		started: time.Now(), stop: make(chan struct{}),
		flying: make([]atomic.Int64, workers), slices: make([]atomic.Int64, span/slice+1),
	}
	for i := range workers {
		l.done.Go(func() { l.work(ctx, client, i, pause) })
	}
	return l
}

func (l *load) work(ctx context.Context, client redis.UniversalClient, worker int, pause time.Duration) {
	key := fmt.Sprintf("load-%d", worker)
	var latencies []time.Duration
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.latencies = append(l.latencies, latencies...)
	}()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		}
		began := time.Now()
		l.flying[worker].Store(began.UnixNano())
		call, cancel := context.WithTimeout(ctx, commandTimeout)
		err := client.Set(call, key, "value", 0).Err()
		cancel()
		took := time.Since(began)
		l.flying[worker].Store(0)
		if took > commandTimeout+slack {
			l.late.Add(1)
		}
		if err != nil {
			l.failed.Add(1)
			l.note(err)
			continue
		}
		l.ok.Add(1)
		latencies = append(latencies, took)
		if i := int(time.Since(l.started) / slice); i < len(l.slices) {
			l.slices[i].Add(1)
		}
	}
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firstError == "" {
		l.firstError = err.Error()
	}
}

// finish stops the workers and waits for those that still return. Calls that never do are counted as blocked, not waited for.
func (l *load) finish() {
	close(l.stop)
	ended := make(chan struct{})
	go func() { l.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(commandTimeout + slack + time.Second):
	}
}

// blocked counts the calls that outlived their context, those that have not returned yet included.
func (l *load) blocked() int64 {
	n := l.late.Load()
	for i := range l.flying {
		if began := l.flying[i].Load(); began != 0 && time.Since(time.Unix(0, began)) > commandTimeout+slack {
			n++
		}
	}
	return n
}

// rate is the mean of commands per second between two instants of the load.
func (l *load) rate(from, to time.Duration) float64 {
	first, last := int(from/slice), min(int(to/slice), len(l.slices))
	if last <= first {
		return 0
	}
	var n int64
	for i := first; i < last; i++ {
		n += l.slices[i].Load()
	}
	return float64(n) / (time.Duration(last-first) * slice).Seconds()
}

// tally puts the counts into r.
func (l *load) tally(r *result) {
	r.OK, r.Failed, r.Blocked = l.ok.Load(), l.failed.Load(), l.blocked()
	l.mu.Lock()
	defer l.mu.Unlock()
	r.FirstError = l.firstError
	r.P999, r.Max = latency.Quantile(l.latencies, 0.999), latency.Quantile(l.latencies, 1)
}
