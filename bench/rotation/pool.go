package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A scenario is one row of the pool table, run in a world of its own with a fitted contestant.
type scenario func(ctx context.Context, s spec, w *world, f fit) (result, error)

var scenarios = map[string]scenario{
	"pool 30":     runPlain,
	"pool 100":    runPlain,
	"universal":   runPlain,
	"held conn":   runHeld,
	"watch":       runWatch,
	"pubsub":      runPubSub,
	"idle":        runIdle,
	"memory":      runMemory,
	"empty conn":  runEmptyConn,
	"empty watch": runEmptyWatch,
	"failover":    runFailover,
}

func poolCases(short bool) []spec {
	lifetime, rotations, cycles := 10*time.Second, 4, 3500
	if short {
		lifetime, rotations, cycles = 5*time.Second, 2, 700
	}
	cases := []spec{
		{Case: "pool 30", PoolSize: 30, Workers: 20, Pause: 5 * time.Millisecond},
		{Case: "pool 100", PoolSize: 100, Workers: 100, Pause: 50 * time.Millisecond},
		{Case: "universal", PoolSize: 10, Workers: 10, Pause: 5 * time.Millisecond},
		{Case: "held conn", PoolSize: 10, Workers: 4, Pause: 200 * time.Millisecond},
		{Case: "watch", PoolSize: 10, Workers: 8},
		{Case: "pubsub", PoolSize: 10, Workers: 4, Pause: 5 * time.Millisecond},
		{Case: "idle", PoolSize: 50, Workers: 1, Pause: 100 * time.Millisecond},
		{Case: "memory", PoolSize: 10, Cycles: cycles},
		{Case: "empty conn", PoolSize: 10},
		{Case: "empty watch", PoolSize: 10},
		{Case: "failover", PoolSize: 10},
	}
	for i := range cases {
		cases[i].Lifetime, cases[i].Rotations = lifetime, rotations
		cases[i].Limit = time.Duration(rotations+3)*lifetime + 45*time.Second
	}
	return cases
}

// runPool runs one case of the pool table.
func runPool(ctx context.Context, s spec) (result, error) {
	run, ok := scenarios[s.Case]
	if !ok {
		return result{}, fmt.Errorf("no case %q", s.Case)
	}
	lifetime := s.Lifetime
	if s.Case == "memory" {
		// Growth per cycle is the question here; tokens that expire meanwhile would mix in another.
		lifetime = time.Hour
	}
	// The sentinel of the case "failover" speaks no TLS, and go-redis has one TLS setting for both.
	w, err := newWorld(ctx, lifetime, s.Case == "failover")
	if err != nil {
		return result{}, err
	}
	f, err := w.open(s.Contestant)
	if err != nil {
		return result{}, err
	}
	defer f.close()
	return run(ctx, s, w, f)
}

// newClient returns a client without retries: a command that fails once is to be seen.
func newClient(s spec, w *world, f fit) *redis.Client {
	return redis.NewClient(f.options(&redis.Options{
		Addr: w.emulator.RedisAddr(), PoolSize: s.PoolSize, MaxRetries: -1, Protocol: 3,
	}))
}

// span is how long the case lasts: all its rotations and a bit, so that the last expiry is inside.
func (s spec) span() time.Duration { return time.Duration(s.Rotations)*s.Lifetime + s.Lifetime/5 }

// sleep waits for d or for ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runPlain is short commands in a warm pool over several token lifetimes.
func runPlain(ctx context.Context, s spec, w *world, f fit) (result, error) {
	var client redis.UniversalClient = newClient(s, w, f)
	if s.Case == "universal" {
		client = redis.NewUniversalClient(&redis.UniversalOptions{
			Addrs: []string{w.emulator.RedisAddr()}, PoolSize: s.PoolSize, MaxRetries: -1,
			Dialer: f.dial, TLSConfig: f.tls, StreamingCredentialsProvider: f.streaming,
		})
	}
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}
	count := w.count()
	l := startLoad(ctx, client, s.Workers, s.Pause, s.span())
	if err := sleep(ctx, s.span()); err != nil {
		return result{}, err
	}
	l.finish()
	r := count()
	l.tally(&r)
	return r, nil
}

// count starts counting what the server and the issuer see; the returned function ends it.
func (w *world) count() func() result {
	before, requests := w.emulator.Stats(), w.gate.requests.Load()
	return func() result {
		after := w.emulator.Stats()
		return result{
			Dials:     after.Accepted - before.Accepted,
			Auths:     after.Auths - before.Auths,
			Dropped:   after.Expired - before.Expired,
			Rotations: int(w.gate.requests.Load() - requests),
		}
	}
}

// runIdle keeps one light worker on a pool of warm connections until their first token has expired, and then asks the
// server which of them are still there.
func runIdle(ctx context.Context, s spec, w *world, f fit) (result, error) {
	client := newClient(s, w, f)
	if err := warm(ctx, client, s.PoolSize); err != nil {
		return result{}, err
	}
	was := map[uint64]time.Time{} // by connection: its first token's expiry
	var last time.Time
	for _, c := range w.emulator.Connections() {
		was[c.ID] = c.TokenExpiry
		if c.TokenExpiry.After(last) {
			last = c.TokenExpiry
		}
	}
	count := w.count()
	l := startLoad(ctx, client, s.Workers, s.Pause, 2*s.Lifetime)
	if err := sleep(ctx, time.Until(last)+time.Second); err != nil {
		return result{}, err
	}
	alive, reauthed := 0, 0
	for _, c := range w.emulator.Connections() {
		first, warm := was[c.ID]
		if !warm {
			continue
		}
		alive++
		if c.TokenExpiry.After(first) {
			reauthed++
		}
	}
	l.finish()
	r := count()
	l.tally(&r)
	r.Warm, r.Alive, r.Reauthed = len(was), alive, reauthed
	return r, nil
}

// runEmptyConn is Client.Conn on a pool without a connection.
func runEmptyConn(ctx context.Context, s spec, w *world, f fit) (result, error) {
	conn := newClient(s, w, f).Conn()
	defer conn.Close()
	return oneCall(conn.Ping(ctx).Err()), nil
}

// runEmptyWatch is Client.Watch on a pool without a connection.
func runEmptyWatch(ctx context.Context, s spec, w *world, f fit) (result, error) {
	return oneCall(newClient(s, w, f).Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, "watched", "value", 0).Err() })
		return err
	}, "watched")), nil
}

// runFailover is the first command of NewFailoverClient.
func runFailover(ctx context.Context, s spec, w *world, f fit) (result, error) {
	sentinel, err := startSentinel(ctx, w.emulator.RedisAddr())
	if err != nil {
		return result{}, err
	}
	options := &redis.FailoverOptions{
		MasterName: "master", SentinelAddrs: []string{sentinel}, PoolSize: s.PoolSize, MaxRetries: -1,
		StreamingCredentialsProvider: f.streaming,
	}
	if f.dial != nil {
		// go-redis uses one Dialer for sentinels and Redis; only Redis wants a token.
		options.Dialer = bypass(f.dial, sentinel)
	}
	client := redis.NewFailoverClient(options)
	if err := client.Set(ctx, "failover", "value", 0).Err(); err != nil {
		return oneCall(err), nil
	}
	return oneCall(client.Ping(ctx).Err()), nil
}

func oneCall(err error) result {
	if err == nil || errors.Is(err, redis.Nil) {
		return result{OK: 1}
	}
	return result{Failed: 1, FirstError: err.Error()}
}
