package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/redis/go-redis/v9"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/credential"
)

const (
	workers  = 4 // per client that has several
	idleSize = 10
	pace     = 4 * time.Millisecond
)

// row is one client of the demo.
type row struct {
	tally
	name    string
	kind    credential.Kind
	dialer  *entraredis.Dialer // nil for the client that goes without us
	expires func() time.Time   // of the token it would use now
}

func (r *row) ours() bool { return r.dialer != nil }

// cast is all clients, connected but without load.
type cast struct {
	rows   []*row
	jobs   []func(wg *sync.WaitGroup, stop <-chan struct{})
	idle   *redis.Client
	idleOf *row
	closes []func() error
}

func newCast(ctx context.Context, st *stage) (_ *cast, err error) {
	redis.SetLogger(silence{})
	c := &cast{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	bySecret, err := st.dialer(ctx, credential.ClientSecret, secretApp)
	if err != nil {
		return nil, err
	}
	byCertificate, err := st.dialer(ctx, credential.ClientCertificate, certificateApp)
	if err != nil {
		return nil, err
	}
	byWorkload, err := st.dialer(ctx, credential.WorkloadIdentity, workloadApp)
	if err != nil {
		return nil, err
	}
	addr := st.emulator.RedisAddr()

	r := c.row("go-redis", credential.ClientSecret, bySecret)
	c.load(r, workers, pace, goRedisJob, c.goRedis(r, addr, workers))
	r = c.row("go-redis pipeline", credential.ClientSecret, bySecret)
	c.load(r, 1, 5*pace, pipelineJob, c.goRedis(r, addr, 1))
	r = c.row("go-redis MULTI/EXEC", credential.ClientSecret, bySecret)
	c.load(r, 1, 2*pace, transactionJob, c.goRedis(r, addr, 1))

	r = c.row("redigo", credential.ClientCertificate, byCertificate)
	pool := c.redigo(r, addr, workers)
	for i := range workers {
		do := redigoJob(pool, fmt.Sprintf("%s:%d", r.name, i))
		c.jobs = append(c.jobs, func(wg *sync.WaitGroup, stop <-chan struct{}) { work(wg, stop, pace, &r.tally, do) })
	}

	c.idleOf = c.row("idle pool", credential.WorkloadIdentity, byWorkload)
	c.idle = c.goRedis(c.idleOf, addr, idleSize)
	if alive, err := c.pingIdle(ctx); alive < idleSize {
		return nil, fmt.Errorf("fill the idle pool: %w", err)
	}
	if err := c.addByHand(ctx, st); err != nil {
		return nil, err
	}
	return c, nil
}

// row adds a client that goes through a Dialer: a copy of d, so that each row
// has statistics of its own, over the same Source.
func (c *cast) row(name string, kind credential.Kind, d *entraredis.Dialer) *row {
	r := &row{name: name, kind: kind, expires: func() time.Time { return d.Source.Status().ExpiresOn }}
	r.dialer = &entraredis.Dialer{Source: d.Source, TLSConfig: d.TLSConfig, ServerName: d.ServerName}
	c.rows = append(c.rows, r)
	return r
}

func (c *cast) load(r *row, n int, pace time.Duration, newJob func(*redis.Client, string) job, client *redis.Client) {
	for i := range n {
		do := newJob(client, fmt.Sprintf("%s:%d", r.name, i))
		c.jobs = append(c.jobs, func(wg *sync.WaitGroup, stop <-chan struct{}) { work(wg, stop, pace, &r.tally, do) })
	}
}

// goRedis has retries off, so that no lost connection hides behind one.
func (c *cast) goRedis(r *row, addr string, size int) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: addr, Dialer: r.watch(r.dialer.DialContext),
		PoolSize: size, ConnMaxIdleTime: -1, MaxRetries: -1,
	})
	c.closes = append(c.closes, client.Close)
	return client
}

func (c *cast) redigo(r *row, addr string, size int) *redigo.Pool {
	dial := r.watch(r.dialer.DialContext)
	pool := &redigo.Pool{
		MaxIdle: size, MaxActive: size, Wait: true,
		DialContext: func(ctx context.Context) (redigo.Conn, error) {
			conn, err := dial(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return redigo.NewConn(conn, 10*time.Second, 10*time.Second), nil
		},
	}
	c.closes = append(c.closes, pool.Close)
	return pool
}

// start sets every worker to work and returns what stops them and waits.
func (c *cast) start() (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, begin := range c.jobs {
		begin(&wg, done)
	}
	return func() { close(done); wg.Wait() }
}

// checkIdle asks every connection of the idle pool for an answer and returns
// how many of the first ones gave it.
func (c *cast) checkIdle(ctx context.Context) int {
	before := c.idleOf.opened.Load()
	alive, _ := c.pingIdle(ctx)
	c.idleOf.commands.Add(idleSize)
	c.idleOf.failed.Add(uint64(idleSize - alive))
	return alive - int(c.idleOf.opened.Load()-before)
}

// pingIdle holds all connections of the pool at once and pings each.
func (c *cast) pingIdle(ctx context.Context) (alive int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for range idleSize {
		conn := c.idle.Conn()
		defer conn.Close()
		if e := conn.Ping(ctx).Err(); e != nil {
			err = e
			continue
		}
		alive++
	}
	return alive, err
}

// silence keeps go-redis's log of lost connections off the screen: they are
// what the demo counts.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func (c *cast) close() {
	for _, f := range c.closes {
		f()
	}
}
