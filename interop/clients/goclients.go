package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

// pool is how many connections a Go client may have. It may open each of them once.
const pool = 10

// sequence checks that messages come as 1, 2, 3, ...
func (t *tally) sequence(what string) func(message string) {
	last := 0
	return func(message string) {
		if n, err := strconv.Atoi(message); err != nil || n != last+1 {
			t.fail("%s: %q behind %d", what, message, last)
		}
		last++
		t.count(what, 1)
	}
}

// notMore fails once a client has opened more connections than its pool holds and its subscriber needs.
func (t *tally) notMore(opened *atomic.Int64, most int64) {
	for range opened.Load() - min(opened.Load(), most) {
		t.reconnected()
	}
}

func playGoRedis(ctx context.Context, _ *tools, addr string, span time.Duration) (result, error) {
	tally, end := newTally(), time.Now().Add(span)
	var all sync.WaitGroup
	for _, protocol := range []int{2, 3} {
		var opened atomic.Int64
		c := goredis.NewClient(&goredis.Options{
			Addr: addr, Protocol: protocol, PoolSize: pool, MaxRetries: -1, ConnMaxIdleTime: -1,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				opened.Add(1)
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		})
		all.Go(func() {
			defer c.Close()
			tally.goRedis(ctx, c, fmt.Sprintf("go-redis:%d", protocol), end)
			tally.notMore(&opened, pool+1)
		})
	}
	all.Wait()
	return tally.r, nil
}

func (t *tally) goRedis(ctx context.Context, c *goredis.Client, name string, end time.Time) {
	bump := goredis.NewScript(`return redis.call("INCRBY", KEYS[1], ARGV[1])`)
	news := c.Subscribe(ctx, name+":news")
	defer news.Close()
	if _, err := news.Receive(ctx); err != nil {
		t.fail("SUBSCRIBE: %v", err)
		return
	}
	received := t.sequence("messages")
	var all sync.WaitGroup
	all.Go(func() {
		t.repeat(ctx, end, "commands", 5*time.Millisecond, func(i int) error {
			if err := c.Set(ctx, name+":k", i, 0).Err(); err != nil {
				return err
			}
			return same(i)(c.Get(ctx, name+":k").Int())
		})
	})
	all.Go(func() {
		t.repeat(ctx, end, "pipelines", 20*time.Millisecond, func(i int) error {
			var last *goredis.StringCmd
			if _, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
				for range 50 {
					p.Set(ctx, name+":p", i, 0)
					last = p.Get(ctx, name+":p")
				}
				return nil
			}); err != nil {
				return err
			}
			return same(i)(last.Int())
		})
	})
	all.Go(func() {
		t.repeat(ctx, end, "transactions", 20*time.Millisecond, func(i int) error {
			return c.Watch(ctx, func(tx *goredis.Tx) error {
				n, err := tx.Get(ctx, name+":sum").Int()
				if err != nil && !errors.Is(err, goredis.Nil) {
					return err
				}
				_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error { return p.Set(ctx, name+":sum", n+1, 0).Err() })
				return err
			}, name+":sum")
		})
	})
	all.Go(func() {
		t.repeat(ctx, end, "scripts", 20*time.Millisecond, func(i int) error {
			return same(2 * i)(bump.Run(ctx, c, []string{name + ":bumped"}, 2).Int())
		})
	})
	all.Go(func() {
		t.repeat(ctx, end, "published", 20*time.Millisecond, func(i int) error { return c.Publish(ctx, name+":news", i).Err() })
		if err := c.Publish(ctx, name+":news", "over").Err(); err != nil {
			t.fail("PUBLISH: %v", err)
		}
	})
	all.Go(func() {
		for {
			m, err := news.ReceiveMessage(ctx)
			if err != nil {
				t.fail("messages: %v", err)
				return
			}
			if m.Payload == "over" {
				return
			}
			received(m.Payload)
		}
	})
	all.Go(func() {
		t.repeat(ctx, end, "pushed", 100*time.Millisecond, func(i int) error { return c.RPush(ctx, name+":list", i).Err() })
		if err := c.RPush(ctx, name+":list", "over").Err(); err != nil {
			t.fail("RPUSH: %v", err)
		}
	})
	all.Go(func() {
		popped := t.sequence("popped")
		for {
			got, err := c.BLPop(ctx, 0, name+":list").Result()
			if err != nil {
				t.fail("BLPOP: %v", err)
				return
			}
			if got[1] == "over" {
				return
			}
			popped(got[1])
		}
	})
	all.Wait()
}

// same wants a number.
func same(want int) func(int, error) error {
	return func(got int, err error) error {
		if err == nil && got != want {
			err = fmt.Errorf("got %d, want %d", got, want)
		}
		return err
	}
}

func playRedigo(ctx context.Context, _ *tools, addr string, span time.Duration) (result, error) {
	tally, end := newTally(), time.Now().Add(span)
	var opened atomic.Int64
	p := &redis.Pool{MaxActive: pool, MaxIdle: pool, Wait: true, Dial: func() (redis.Conn, error) {
		opened.Add(1)
		return redis.Dial("tcp", addr)
	}}
	defer p.Close()
	with := func(work func(c redis.Conn) error) error {
		c := p.Get()
		defer c.Close()
		return work(c)
	}
	bump := redis.NewScript(1, `return redis.call("INCRBY", KEYS[1], ARGV[1])`)
	subscriber := p.Get()
	defer subscriber.Close()
	news := redis.PubSubConn{Conn: subscriber}
	if err := news.Subscribe("redigo:news"); err != nil {
		return result{}, err
	}
	if err, failed := news.Receive().(error); failed {
		return result{}, fmt.Errorf("SUBSCRIBE: %w", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		tally.repeat(ctx, end, "commands", 5*time.Millisecond, func(i int) error {
			return with(func(c redis.Conn) error {
				if _, err := c.Do("SET", "redigo:k", i); err != nil {
					return err
				}
				return same(i)(redis.Int(c.Do("GET", "redigo:k")))
			})
		})
	})
	all.Go(func() {
		tally.repeat(ctx, end, "transactions", 20*time.Millisecond, func(i int) error {
			return with(func(c redis.Conn) error {
				for _, command := range [][]any{{"WATCH", "redigo:sum"}, {"MULTI"}, {"INCR", "redigo:sum"}} {
					if err := c.Send(command[0].(string), command[1:]...); err != nil {
						return err
					}
				}
				values, err := redis.Ints(c.Do("EXEC"))
				if err == nil && (len(values) != 1 || values[0] != i) {
					err = fmt.Errorf("EXEC: got %v, want %d", values, i)
				}
				return err
			})
		})
	})
	all.Go(func() {
		tally.repeat(ctx, end, "scripts", 20*time.Millisecond, func(i int) error {
			return with(func(c redis.Conn) error { return same(2 * i)(redis.Int(bump.Do(c, "redigo:bumped", 2))) })
		})
	})
	all.Go(func() {
		publish := func(message any) error {
			return with(func(c redis.Conn) error { _, err := c.Do("PUBLISH", "redigo:news", message); return err })
		}
		tally.repeat(ctx, end, "published", 20*time.Millisecond, func(i int) error { return publish(i) })
		if err := publish("over"); err != nil {
			tally.fail("PUBLISH: %v", err)
		}
	})
	all.Go(func() {
		received := tally.sequence("messages")
		for {
			switch m := news.Receive().(type) {
			case error:
				tally.fail("messages: %v", m)
				return
			case redis.Message:
				if string(m.Data) == "over" {
					return
				}
				received(string(m.Data))
			}
		}
	})
	all.Go(func() {
		push := func(item any) error {
			return with(func(c redis.Conn) error { _, err := c.Do("LPUSH", "redigo:list", item); return err })
		}
		tally.repeat(ctx, end, "pushed", 100*time.Millisecond, func(i int) error { return push(i) })
		if err := push("over"); err != nil {
			tally.fail("LPUSH: %v", err)
		}
	})
	all.Go(func() {
		popped := tally.sequence("popped")
		for {
			var got []string
			err := with(func(c redis.Conn) (err error) { got, err = redis.Strings(c.Do("BRPOP", "redigo:list", 0)); return err })
			if err != nil {
				tally.fail("BRPOP: %v", err)
				return
			}
			if got[1] == "over" {
				return
			}
			popped(got[1])
		}
	})
	all.Wait()
	tally.notMore(&opened, pool)
	return tally.r, nil
}
