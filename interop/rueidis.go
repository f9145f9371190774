package main

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/redis/rueidis"
)

//go:generate go run ./gen

// rueidisDriver is a driver of rueidis.
type rueidisDriver struct{ c rueidis.Client }

func openRueidis(_ context.Context, t target) (driver, error) {
	option := rueidis.ClientOption{
		InitAddress: []string{t.seed},
		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return t.dialer.DialContext(ctx, "tcp", addr)
		},
		AlwaysRESP2:       t.protocol == 2,
		DisableCache:      t.protocol == 2,
		ForceSingleClient: t.topology == single,
		BlockingPoolSize:  poolSize,
		// Of half a megabyte each by default, which is much for a few hundred connections on a small machine.
		ReadBufferEachConn: 16 << 10, WriteBufferEachConn: 16 << 10, RingScaleEachConn: 8,
	}
	if t.topology == sentinel {
		option.Sentinel.MasterSet = primaryName
	}
	c, err := rueidis.NewClient(option)
	if err != nil {
		return nil, err
	}
	if t.protocol == 2 {
		return rueidisDriver{c}, nil
	}
	return rueidisCaching{rueidisDriver{c}}, nil
}

func (s rueidisDriver) Close() { s.c.Close() }

// arbitrary names the key apart, by which a cluster is found its way through.
func (s rueidisDriver) arbitrary(command []string) rueidis.Completed {
	return s.c.B().Arbitrary(command[0]).Keys(command[1]).Args(command[2:]...).Build()
}

func rueidisText(r rueidis.RedisResult) (string, error) {
	v, err := r.ToAny()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return text(v), err
}

func (s rueidisDriver) Do(ctx context.Context, command ...string) (string, error) {
	return rueidisText(s.c.Do(ctx, s.arbitrary(command)))
}

func (s rueidisDriver) Pipeline(ctx context.Context, commands [][]string) ([]string, error) {
	completed := make([]rueidis.Completed, len(commands))
	for i, c := range commands {
		completed[i] = s.arbitrary(c)
	}
	values := make([]string, len(commands))
	for i, r := range s.c.DoMulti(ctx, completed...) {
		v, err := rueidisText(r)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func (s rueidisDriver) Increment(ctx context.Context, key string) error {
	return s.c.Dedicated(func(c rueidis.DedicatedClient) error {
		if err := c.Do(ctx, c.B().Watch().Key(key).Build()).Error(); err != nil {
			return err
		}
		n, err := c.Do(ctx, c.B().Get().Key(key).Build()).AsInt64()
		if err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
		replies := c.DoMulti(ctx,
			c.B().Multi().Build(),
			c.B().Set().Key(key).Value(text(n+1)).Build(),
			c.B().Exec().Build())
		err = replies[len(replies)-1].Error()
		if rueidis.IsRedisNil(err) {
			return errRaced
		}
		return err
	})
}

func (s rueidisDriver) Eval(ctx context.Context, script, key, arg string) (string, error) {
	return rueidisText(rueidis.NewLuaScript(script).Exec(ctx, s.c, []string{key}, []string{arg}))
}

func (s rueidisDriver) Pop(ctx context.Context, key string, limit time.Duration) (string, bool, error) {
	v, err := s.c.Do(ctx, s.c.B().Blpop().Key(key).Timeout(limit.Seconds()).Build()).AsStrSlice()
	if rueidis.IsRedisNil(err) {
		return "", false, nil
	}
	if err != nil || len(v) != 2 {
		return "", false, err
	}
	return v[1], true, nil
}

func (s rueidisDriver) Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (entry, bool, error) {
	v, err := s.c.Do(ctx, s.c.B().Xreadgroup().Group(group, consumer).Count(1).Block(limit.Milliseconds()).
		Streams().Key(stream).Id(">").Build()).AsXRead()
	if rueidis.IsRedisNil(err) {
		return entry{}, false, nil
	}
	if err != nil || len(v[stream]) == 0 {
		return entry{}, false, err
	}
	e := v[stream][0]
	return entry{e.ID, e.FieldValues[field]}, true, nil
}

func (s rueidisDriver) Subscribe(ctx context.Context, channel string, pattern bool, fn func(string)) (func(), error) {
	subscribe := s.c.B().Subscribe().Channel(channel).Build()
	if pattern {
		subscribe = s.c.B().Psubscribe().Pattern(channel).Build()
	}
	standing, done := make(chan struct{}, 1), make(chan error, 1)
	ctx, end := context.WithCancel(ctx)
	hooked := rueidis.WithOnSubscriptionHook(ctx, func(sub rueidis.PubSubSubscription) {
		select {
		case standing <- struct{}{}:
		default:
		}
	})
	go func() {
		done <- s.c.Receive(hooked, subscribe, func(m rueidis.PubSubMessage) {
			fn(m.Message)
		})
	}()
	select {
	case <-standing:
	case err := <-done:
		end()
		return nil, err
	}
	return func() {
		end()
		<-done
	}, nil
}

func (s rueidisDriver) Publish(ctx context.Context, channel, payload string) error {
	c := s.c
	if c.Mode() == rueidis.ClientModeCluster {
		nodes := c.Nodes()
		addrs := make([]string, 0, len(nodes))
		for addr := range nodes {
			addrs = append(addrs, addr)
		}
		c = nodes[slices.Min(addrs)]
	}
	return c.Do(ctx, c.B().Publish().Channel(channel).Message(payload).Build()).Error()
}

func (s rueidisDriver) Hold(ctx context.Context, key string) (held, error) {
	c, release := s.c.Dedicate()
	// The key decides on which primary it is.
	err := c.Do(ctx, c.B().Exists().Key(key).Build()).Error()
	return rueidisConn{c, release}, err
}

type rueidisConn struct {
	c       rueidis.DedicatedClient
	release func()
}

func (c rueidisConn) Do(ctx context.Context, command ...string) (string, error) {
	return rueidisText(c.c.Do(ctx, c.c.B().Arbitrary(command...).Build()))
}

func (c rueidisConn) Close() { c.release() }

// rueidisCaching adds the cache, for which rueidis needs RESP3.
type rueidisCaching struct{ rueidisDriver }

func (s rueidisCaching) Cached(ctx context.Context, key string) (string, bool, error) {
	r := s.c.DoCache(ctx, s.c.B().Get().Key(key).Cache(), cacheLife)
	v, err := rueidisText(r)
	return v, r.IsCacheHit(), err
}
