package main

import (
	"context"
	"errors"
	"time"

	"github.com/gomodule/redigo/redis"
)

// redigoDriver is a driver of redigo, which has neither Sentinel nor Cluster and speaks RESP2.
type redigoDriver struct{ pool *redis.Pool }

func openRedigo(_ context.Context, t target) (driver, error) {
	return redigoDriver{&redis.Pool{
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", t.seed, redis.DialContextFunc(t.dialer.DialContext))
		},
		MaxIdle: poolSize, MaxActive: poolSize, Wait: true,
	}}, nil
}

func (s redigoDriver) Close() { _ = s.pool.Close() }

// with lends a connection.
func (s redigoDriver) with(ctx context.Context, fn func(redis.Conn) error) error {
	c, err := s.pool.GetContext(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(c), c.Close())
}

func (s redigoDriver) Do(ctx context.Context, command ...string) (value string, err error) {
	err = s.with(ctx, func(c redis.Conn) error {
		v, err := redis.DoContext(c, ctx, command[0], anys(command[1:])...)
		value = text(v)
		return err
	})
	return value, err
}

func (s redigoDriver) Pipeline(ctx context.Context, commands [][]string) (values []string, err error) {
	err = s.with(ctx, func(c redis.Conn) error {
		for _, command := range commands {
			if err := c.Send(command[0], anys(command[1:])...); err != nil {
				return err
			}
		}
		if err := c.Flush(); err != nil {
			return err
		}
		for range commands {
			v, err := redis.ReceiveContext(c, ctx)
			if err != nil {
				return err
			}
			values = append(values, text(v))
		}
		return nil
	})
	return values, err
}

func (s redigoDriver) Increment(ctx context.Context, key string) error {
	return s.with(ctx, func(c redis.Conn) error {
		if _, err := redis.DoContext(c, ctx, "WATCH", key); err != nil {
			return err
		}
		n, err := redis.Int64(redis.DoContext(c, ctx, "GET", key))
		if err != nil && !errors.Is(err, redis.ErrNil) {
			return err
		}
		if err := c.Send("MULTI"); err != nil {
			return err
		}
		if err := c.Send("SET", key, n+1); err != nil {
			return err
		}
		v, err := redis.DoContext(c, ctx, "EXEC")
		if err == nil && v == nil {
			return errRaced
		}
		return err
	})
}

func (s redigoDriver) Eval(ctx context.Context, script, key, arg string) (value string, err error) {
	err = s.with(ctx, func(c redis.Conn) error {
		v, err := redis.NewScript(1, script).DoContext(ctx, c, key, arg)
		value = text(v)
		return err
	})
	return value, err
}

func (s redigoDriver) Pop(ctx context.Context, key string, limit time.Duration) (value string, ok bool, err error) {
	err = s.with(ctx, func(c redis.Conn) error {
		v, err := redis.Strings(redis.DoContext(c, ctx, "BLPOP", key, limit.Seconds()))
		if errors.Is(err, redis.ErrNil) {
			return nil
		}
		if ok = err == nil && len(v) == 2; ok {
			value = v[1]
		}
		return err
	})
	return value, ok, err
}

func (s redigoDriver) Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (e entry, ok bool, err error) {
	err = s.with(ctx, func(c redis.Conn) error {
		v, err := redis.Values(redis.DoContext(c, ctx, "XREADGROUP", "GROUP", group, consumer,
			"COUNT", 1, "BLOCK", limit.Milliseconds(), "STREAMS", stream, ">"))
		if errors.Is(err, redis.ErrNil) {
			return nil
		}
		if err != nil {
			return err
		}
		// [[stream [[id [field value]]]]]
		var entries, first []any
		var fields []string
		one, err := redis.Values(v[0], nil)
		if err == nil {
			entries, err = redis.Values(one[1], nil)
		}
		if err == nil {
			first, err = redis.Values(entries[0], nil)
		}
		if err == nil {
			fields, err = redis.Strings(first[1], nil)
		}
		if err != nil {
			return err
		}
		e, ok = entry{text(first[0]), fields[1]}, true
		return nil
	})
	return e, ok, err
}

func (s redigoDriver) Subscribe(ctx context.Context, channel string, pattern bool, fn func(string)) (func(), error) {
	c, err := s.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	sub := redis.PubSubConn{Conn: c}
	subscribe, unsubscribe := sub.Subscribe, sub.Unsubscribe
	if pattern {
		subscribe, unsubscribe = sub.PSubscribe, sub.PUnsubscribe
	}
	if err := subscribe(channel); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	standing, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			switch m := sub.ReceiveContext(ctx).(type) {
			case redis.Message:
				fn(string(m.Data))
			case redis.Subscription:
				if m.Count == 0 {
					return
				}
				close(standing)
			case error:
				err = m
				return
			}
		}
	}()
	select {
	case <-standing:
	case <-done:
		return nil, errors.Join(err, c.Close())
	}
	return func() {
		_ = unsubscribe()
		<-done
		_ = c.Close()
	}, nil
}

func (s redigoDriver) Publish(ctx context.Context, channel, payload string) error {
	_, err := s.Do(ctx, "PUBLISH", channel, payload)
	return err
}

func (s redigoDriver) Hold(ctx context.Context, _ string) (held, error) {
	c, err := s.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	return redigoConn{c}, nil
}

type redigoConn struct{ c redis.Conn }

func (c redigoConn) Do(ctx context.Context, command ...string) (string, error) {
	v, err := redis.DoContext(c.c, ctx, command[0], anys(command[1:])...)
	return text(v), err
}

func (c redigoConn) Close() { _ = c.c.Close() }
