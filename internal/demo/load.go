package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"
)

// job does a few commands and says how many. Its error may be a refusal, a
// lost connection or a reply that is not the right one.
type job func(ctx context.Context) (commands int, err error)

// work repeats a job at a steady pace until stop is closed, without breaking
// off one that has begun.
func work(wg *sync.WaitGroup, stop <-chan struct{}, pace time.Duration, t *tally, do job) {
	wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			n, err := do(ctx)
			cancel()
			t.commands.Add(uint64(n))
			if err != nil {
				t.failed.Add(uint64(n))
			}
		}
	})
}

// counter follows a Redis counter that only one worker moves: a command that
// was lost, or ran twice, shows in the next reply.
type counter struct {
	last  int64
	known bool
}

func (c *counter) check(got, step int64, err error) error {
	last, known := c.last, c.known
	c.last, c.known = got, err == nil
	if err == nil && known && got != last+step {
		return fmt.Errorf("counter is %d, want %d", got, last+step)
	}
	return err
}

func goRedisJob(client *redis.Client, key string) job {
	var c counter
	var turn int
	return func(ctx context.Context) (int, error) {
		if turn++; turn%2 == 0 {
			return 1, client.Set(ctx, key+":value", turn, 0).Err()
		}
		got, err := client.Incr(ctx, key).Result()
		return 1, c.check(got, 1, err)
	}
}

const pipelineLength = 20

func pipelineJob(client *redis.Client, key string) job {
	var c counter
	return func(ctx context.Context) (int, error) {
		pipe := client.Pipeline()
		var last *redis.IntCmd
		for range pipelineLength {
			last = pipe.Incr(ctx, key)
		}
		_, err := pipe.Exec(ctx)
		return pipelineLength, c.check(last.Val(), pipelineLength, err)
	}
}

func transactionJob(client *redis.Client, key string) job {
	var c counter
	return func(ctx context.Context) (int, error) {
		var last *redis.IntCmd
		_, err := client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.Set(ctx, key+":value", "x", 0)
			tx.Get(ctx, key+":value")
			last = tx.Incr(ctx, key)
			return nil
		})
		return 5, c.check(last.Val(), 1, err) // with MULTI and EXEC
	}
}

func redigoJob(pool *redigo.Pool, key string) job {
	var c counter
	return func(ctx context.Context) (int, error) {
		conn, err := pool.GetContext(ctx)
		if err != nil {
			return 1, c.check(0, 1, err)
		}
		defer conn.Close()
		got, err := redigo.Int64(redigo.DoContext(conn, ctx, "INCR", key))
		return 1, c.check(got, 1, err)
	}
}
