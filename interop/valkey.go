// Code generated from rueidis.go by gen; DO NOT EDIT.

package main

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/valkey-io/valkey-go"
)

// valkeyDriver is a driver of valkey.
type valkeyDriver struct{ c valkey.Client }

func openValkey(_ context.Context, t target) (driver, error) {
	option := valkey.ClientOption{
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
	c, err := valkey.NewClient(option)
	if err != nil {
		return nil, err
	}
	if t.protocol == 2 {
		return valkeyDriver{c}, nil
	}
	return valkeyCaching{valkeyDriver{c}}, nil
}

func (s valkeyDriver) Close() { s.c.Close() }

// arbitrary names the key apart, by which a cluster is found its way through.
func (s valkeyDriver) arbitrary(command []string) valkey.Completed {
	return s.c.B().Arbitrary(command[0]).Keys(command[1]).Args(command[2:]...).Build()
}

func valkeyText(r valkey.ValkeyResult) (string, error) {
	v, err := r.ToAny()
	if valkey.IsValkeyNil(err) {
		return "", nil
	}
	return text(v), err
}

func (s valkeyDriver) Do(ctx context.Context, command ...string) (string, error) {
	return valkeyText(s.c.Do(ctx, s.arbitrary(command)))
}

func (s valkeyDriver) Pipeline(ctx context.Context, commands [][]string) ([]string, error) {
	completed := make([]valkey.Completed, len(commands))
	for i, c := range commands {
		completed[i] = s.arbitrary(c)
	}
	values := make([]string, len(commands))
	for i, r := range s.c.DoMulti(ctx, completed...) {
		v, err := valkeyText(r)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func (s valkeyDriver) Increment(ctx context.Context, key string) error {
	return s.c.Dedicated(func(c valkey.DedicatedClient) error {
		if err := c.Do(ctx, c.B().Watch().Key(key).Build()).Error(); err != nil {
			return err
		}
		n, err := c.Do(ctx, c.B().Get().Key(key).Build()).AsInt64()
		if err != nil && !valkey.IsValkeyNil(err) {
			return err
		}
		replies := c.DoMulti(ctx,
			c.B().Multi().Build(),
			c.B().Set().Key(key).Value(text(n+1)).Build(),
			c.B().Exec().Build())
		err = replies[len(replies)-1].Error()
		if valkey.IsValkeyNil(err) {
			return errRaced
		}
		return err
	})
}

func (s valkeyDriver) Eval(ctx context.Context, script, key, arg string) (string, error) {
	return valkeyText(valkey.NewLuaScript(script).Exec(ctx, s.c, []string{key}, []string{arg}))
}

func (s valkeyDriver) Pop(ctx context.Context, key string, limit time.Duration) (string, bool, error) {
	v, err := s.c.Do(ctx, s.c.B().Blpop().Key(key).Timeout(limit.Seconds()).Build()).AsStrSlice()
	if valkey.IsValkeyNil(err) {
		return "", false, nil
	}
	if err != nil || len(v) != 2 {
		return "", false, err
	}
	return v[1], true, nil
}

func (s valkeyDriver) Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (entry, bool, error) {
	v, err := s.c.Do(ctx, s.c.B().Xreadgroup().Group(group, consumer).Count(1).Block(limit.Milliseconds()).
		Streams().Key(stream).Id(">").Build()).AsXRead()
	if valkey.IsValkeyNil(err) {
		return entry{}, false, nil
	}
	if err != nil || len(v[stream]) == 0 {
		return entry{}, false, err
	}
	e := v[stream][0]
	return entry{e.ID, e.FieldValues[field]}, true, nil
}

func (s valkeyDriver) Subscribe(ctx context.Context, channel string, pattern bool, fn func(string)) (func(), error) {
	subscribe := s.c.B().Subscribe().Channel(channel).Build()
	if pattern {
		subscribe = s.c.B().Psubscribe().Pattern(channel).Build()
	}
	standing, done := make(chan struct{}, 1), make(chan error, 1)
	ctx, end := context.WithCancel(ctx)
	hooked := valkey.WithOnSubscriptionHook(ctx, func(sub valkey.PubSubSubscription) {
		select {
		case standing <- struct{}{}:
		default:
		}
	})
	go func() {
		done <- s.c.Receive(hooked, subscribe, func(m valkey.PubSubMessage) {
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

func (s valkeyDriver) Publish(ctx context.Context, channel, payload string) error {
	c := s.c
	if c.Mode() == valkey.ClientModeCluster {
		nodes := c.Nodes()
		addrs := make([]string, 0, len(nodes))
		for addr := range nodes {
			addrs = append(addrs, addr)
		}
		c = nodes[slices.Min(addrs)]
	}
	return c.Do(ctx, c.B().Publish().Channel(channel).Message(payload).Build()).Error()
}

func (s valkeyDriver) Hold(ctx context.Context, key string) (held, error) {
	c, release := s.c.Dedicate()
	// The key decides on which primary it is.
	err := c.Do(ctx, c.B().Exists().Key(key).Build()).Error()
	return valkeyConn{c, release}, err
}

type valkeyConn struct {
	c       valkey.DedicatedClient
	release func()
}

func (c valkeyConn) Do(ctx context.Context, command ...string) (string, error) {
	return valkeyText(c.c.Do(ctx, c.c.B().Arbitrary(command...).Build()))
}

func (c valkeyConn) Close() { c.release() }

// valkeyCaching adds the cache, for which valkey needs RESP3.
type valkeyCaching struct{ valkeyDriver }

func (s valkeyCaching) Cached(ctx context.Context, key string) (string, bool, error) {
	r := s.c.DoCache(ctx, s.c.B().Get().Key(key).Cache(), cacheLife)
	v, err := valkeyText(r)
	return v, r.IsCacheHit(), err
}
