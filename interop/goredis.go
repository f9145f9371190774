package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// goRedis is a driver of go-redis. The cache has a client of its own, as it takes over all reads of the one it is
// switched on for.
type goRedis struct {
	c      redis.UniversalClient
	cached *redis.Client
}

func openGoRedis(_ context.Context, t target) (driver, error) {
	dial := t.dialer.DialContext
	switch t.topology {
	case sentinel:
		return goRedis{c: redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: primaryName, SentinelAddrs: []string{t.seed},
			Dialer: dial, Protocol: t.protocol, PoolSize: poolSize,
		})}, nil
	case cluster:
		return goRedis{c: redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{t.seed}, Dialer: dial, Protocol: t.protocol, PoolSize: poolSize,
			// The clients of the nodes share this setting and switch it off under a lock each, where Redis does not know of such
			// notifications: a race in go-redis 9.23.0 (initConn).
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})}, nil
	}
	options := redis.Options{Addr: t.seed, Dialer: dial, Protocol: t.protocol, PoolSize: poolSize}
	plain := goRedis{c: redis.NewClient(&options)}
	if t.protocol != 3 {
		return plain, nil
	}
	options.PoolSize = 2
	options.ClientSideCacheConfig = &redis.ClientSideCacheConfig{MaxStaleness: cacheLife}
	return goRedisCaching{goRedis{c: plain.c, cached: redis.NewClient(&options)}}, nil
}

func (g goRedis) Close() {
	_ = g.c.Close()
	if g.cached != nil {
		_ = g.cached.Close()
	}
}

func (g goRedis) Do(ctx context.Context, command ...string) (string, error) {
	v, err := g.c.Do(ctx, anys(command)...).Result()
	return text(v), unlessNil(err)
}

func (g goRedis) Pipeline(ctx context.Context, commands [][]string) ([]string, error) {
	replies, err := g.c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, c := range commands {
			p.Do(ctx, anys(c)...)
		}
		return nil
	})
	if unlessNil(err) != nil {
		return nil, err
	}
	values := make([]string, len(replies))
	for i, r := range replies {
		if c, ok := r.(*redis.Cmd); ok {
			values[i] = text(c.Val())
		}
	}
	return values, nil
}

func (g goRedis) Increment(ctx context.Context, key string) error {
	err := g.c.Watch(ctx, func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, key).Int64()
		if unlessNil(err) != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, key, n+1, 0)
			return nil
		})
		return err
	}, key)
	if errors.Is(err, redis.TxFailedErr) {
		return errRaced
	}
	return err
}

func (g goRedis) Eval(ctx context.Context, script, key, arg string) (string, error) {
	v, err := redis.NewScript(script).Run(ctx, g.c, []string{key}, arg).Result()
	return text(v), unlessNil(err)
}

func (g goRedis) Pop(ctx context.Context, key string, limit time.Duration) (string, bool, error) {
	v, err := g.c.BLPop(ctx, limit, key).Result()
	if err != nil || len(v) != 2 {
		return "", false, unlessNil(err)
	}
	return v[1], true, nil
}

func (g goRedis) Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (entry, bool, error) {
	v, err := g.c.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: consumer, Streams: []string{stream, ">"}, Count: 1, Block: limit,
	}).Result()
	if err != nil || len(v) == 0 || len(v[0].Messages) == 0 {
		return entry{}, false, unlessNil(err)
	}
	m := v[0].Messages[0]
	return entry{m.ID, text(m.Values[field])}, true, nil
}

func (g goRedis) Subscribe(ctx context.Context, channel string, pattern bool, fn func(string)) (func(), error) {
	subscribe := g.c.Subscribe
	if pattern {
		subscribe = g.c.PSubscribe
	}
	sub := subscribe(ctx, channel)
	if _, err := sub.Receive(ctx); err != nil {
		_ = sub.Close()
		return nil, err
	}
	// Larger than what may be under way, as a full one drops messages.
	messages := sub.Channel(redis.WithChannelSize(10_000))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range messages {
			fn(m.Payload)
		}
	}()
	return func() {
		_ = sub.Close()
		<-done
	}, nil
}

func (g goRedis) Publish(ctx context.Context, channel, payload string) error {
	c, err := g.primary(ctx, channel)
	if err != nil {
		return err
	}
	return c.Publish(ctx, channel, payload).Err()
}

// primary is the client of the key's primary.
func (g goRedis) primary(ctx context.Context, key string) (*redis.Client, error) {
	switch c := g.c.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	}
	return nil, fmt.Errorf("unexpected %T", g.c)
}

func (g goRedis) Hold(ctx context.Context, key string) (held, error) {
	c, err := g.primary(ctx, key)
	if err != nil {
		return nil, err
	}
	conn := c.Conn()
	return goRedisConn{conn}, conn.Ping(ctx).Err()
}

type goRedisConn struct{ c *redis.Conn }

func (c goRedisConn) Do(ctx context.Context, command ...string) (string, error) {
	v, err := c.c.Do(ctx, anys(command)...).Result()
	return text(v), unlessNil(err)
}

func (c goRedisConn) Close() { _ = c.c.Close() }

// goRedisCaching adds the cache, which go-redis has for one server over RESP3.
type goRedisCaching struct{ goRedis }

func (g goRedisCaching) Cached(ctx context.Context, key string) (string, bool, error) {
	before := g.cached.CSCStats().Hits
	v, err := g.cached.Get(ctx, key).Result()
	return v, g.cached.CSCStats().Hits > before, unlessNil(err)
}

// unlessNil is err, unless it says that there is nothing.
func unlessNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
