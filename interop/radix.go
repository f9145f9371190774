package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mediocregopher/radix/v4"
)

// radixDriver is a driver of radix.
type radixDriver struct {
	c interface {
		Do(context.Context, radix.Action) error
		Close() error
	}
	dialer radix.Dialer
	seed   string
}

func openRadix(ctx context.Context, t target) (s driver, err error) {
	dialer := radix.Dialer{NetDialer: t.dialer}
	if t.protocol == 3 {
		dialer.Protocol = "3"
	}
	pool := radix.PoolConfig{Dialer: dialer, Size: poolSize}
	r := radixDriver{dialer: dialer, seed: t.seed}
	switch t.topology {
	case sentinel:
		r.c, err = radix.SentinelConfig{PoolConfig: pool, SentinelDialer: dialer}.New(ctx, primaryName, []string{t.seed})
	case cluster:
		r.c, err = radix.ClusterConfig{PoolConfig: pool}.New(ctx, []string{t.seed})
	default:
		r.c, err = pool.New(ctx, "tcp", t.seed)
	}
	return r, err
}

func (s radixDriver) Close() { _ = s.c.Close() }

func (s radixDriver) Do(ctx context.Context, command ...string) (string, error) {
	var v any
	err := s.c.Do(ctx, radix.Cmd(&v, command[0], command[1:]...))
	return text(v), err
}

func (s radixDriver) Pipeline(ctx context.Context, commands [][]string) ([]string, error) {
	raw := make([]any, len(commands))
	p := radix.NewPipeline()
	for i, c := range commands {
		p.Append(radix.Cmd(&raw[i], c[0], c[1:]...))
	}
	if err := s.c.Do(ctx, p); err != nil {
		return nil, err
	}
	values := make([]string, len(raw))
	for i, v := range raw {
		values[i] = text(v)
	}
	return values, nil
}

func (s radixDriver) Increment(ctx context.Context, key string) error {
	raced := false
	err := s.c.Do(ctx, radix.WithConn(key, func(ctx context.Context, c radix.Conn) error {
		var n int64
		if err := c.Do(ctx, radix.Cmd(nil, "WATCH", key)); err != nil {
			return err
		}
		if err := c.Do(ctx, radix.Cmd(&n, "GET", key)); err != nil {
			return err
		}
		var replies []string
		result := radix.Maybe{Rcv: &replies}
		p := radix.NewPipeline()
		p.Append(radix.Cmd(nil, "MULTI"))
		p.Append(radix.FlatCmd(nil, "SET", key, n+1))
		p.Append(radix.Cmd(&result, "EXEC"))
		err := c.Do(ctx, p)
		raced = result.Null
		return err
	}))
	// Not from within: radix closes the connection of a function that returns an error.
	if err == nil && raced {
		return errRaced
	}
	return err
}

func (s radixDriver) Eval(ctx context.Context, script, key, arg string) (string, error) {
	var v any
	err := s.c.Do(ctx, radix.NewEvalScript(script).Cmd(&v, []string{key}, arg))
	return text(v), err
}

func (s radixDriver) Pop(ctx context.Context, key string, limit time.Duration) (string, bool, error) {
	var v []string
	result := radix.Maybe{Rcv: &v}
	err := s.c.Do(ctx, radix.FlatCmd(&result, "BLPOP", key, limit.Seconds()))
	if err != nil || result.Null || len(v) != 2 {
		return "", false, err
	}
	return v[1], true, nil
}

// Read does not use radix's StreamReader, which decides itself for how long to block.
func (s radixDriver) Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (entry, bool, error) {
	var list []radix.StreamEntries            // RESP2
	var byName map[string][]radix.StreamEntry // RESP3
	var rcv any = &list
	if s.dialer.Protocol == "3" {
		rcv = &byName
	}
	err := s.c.Do(ctx, radix.FlatCmd(&radix.Maybe{Rcv: rcv}, "XREADGROUP", "GROUP", group, consumer,
		"COUNT", 1, "BLOCK", limit.Milliseconds(), "STREAMS", stream, ">"))
	entries := byName[stream]
	if len(list) > 0 {
		entries = list[0].Entries
	}
	if err != nil || len(entries) == 0 {
		return entry{}, false, err
	}
	if len(entries[0].Fields) != 1 {
		return entry{}, false, fmt.Errorf("entry %v has not one field", entries[0].ID)
	}
	return entry{entries[0].ID.String(), entries[0].Fields[0][1]}, true, nil
}

func (s radixDriver) Subscribe(ctx context.Context, channel string, pattern bool, fn func(string)) (func(), error) {
	sub, err := radix.PersistentPubSubConnConfig{Dialer: s.dialer}.New(ctx, func() (string, string, error) {
		addr, err := s.primary()
		return "tcp", addr, err
	})
	if err != nil {
		return nil, err
	}
	subscribe := sub.Subscribe
	if pattern {
		subscribe = sub.PSubscribe
	}
	if err := subscribe(ctx, channel); err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			fn(string(m.Message))
		}
	}()
	return func() {
		end()
		<-done
		_ = sub.Close()
	}, nil
}

// primary is the address of one primary, the same each time.
func (s radixDriver) primary() (string, error) {
	m, ok := s.c.(radix.MultiClient)
	if !ok {
		return s.seed, nil
	}
	sets, err := m.Clients()
	if err != nil {
		return "", err
	}
	addrs := make([]string, 0, len(sets))
	for addr := range sets {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	if len(addrs) == 0 {
		return "", errors.New("radix knows no primary")
	}
	return addrs[0], nil
}

func (s radixDriver) Publish(ctx context.Context, channel, payload string) error {
	publish := radix.Cmd(nil, "PUBLISH", channel, payload)
	m, ok := s.c.(radix.MultiClient)
	if !ok {
		return s.c.Do(ctx, publish)
	}
	addr, err := s.primary()
	if err != nil {
		return err
	}
	sets, err := m.Clients()
	if err != nil {
		return err
	}
	return sets[addr].Primary.Do(ctx, publish)
}

// radixConn is lent by radix for as long as a function runs, so one runs until it is given back.
type radixConn struct {
	c       radix.Conn
	release func()
}

func (s radixDriver) Hold(ctx context.Context, key string) (held, error) {
	lent, back, done := make(chan radix.Conn), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.c.Do(ctx, radix.WithConn(key, func(ctx context.Context, c radix.Conn) error {
			lent <- c
			<-back
			return nil
		}))
	}()
	select {
	case c := <-lent:
		return radixConn{c, func() {
			close(back)
			<-done
		}}, nil
	case err := <-done:
		return nil, err
	}
}

func (c radixConn) Do(ctx context.Context, command ...string) (string, error) {
	var v any
	err := c.c.Do(ctx, radix.Cmd(&v, command[0], command[1:]...))
	return text(v), err
}

func (c radixConn) Close() { c.release() }
