package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
	"github.com/entraredis/entraredis/emulator"
)

// rotation is tokens that are replaced under load, and what that does to the latency of commands.
type rotation struct {
	name    string
	clients int
	busy    int           // clients of the load, the others are idle
	life    time.Duration // of a token
	every   time.Duration // until it is replaced: with less than half its life left the source would choose the instant itself
	front   bool          // connections are closed at their token's end
	paths   []string
	each    int           // rotations in a round
	slice   time.Duration // of time, whose quantiles are taken
}

// rotations are all cases. Connections spread their re-AUTHs over half of what the old token has left to live.
func rotations(short bool) []rotation {
	const s = time.Second
	own, all := []string{dedicated}, []string{dedicated, shared, auto}
	if short {
		return []rotation{
			{"re-AUTH, 200 upstreams", 200, 50, 5 * s, 2 * s, false, own, 1, s / 10},
			{"rotation each 2s, 200 clients", 200, 200, 5 * s, 2 * s, true, all[:2], 1, s / 10},
		}
	}
	return []rotation{
		{"re-AUTH 50/s, 1000 upstreams", 1000, 50, 70 * s, 30 * s, false, own, 1, s},
		{"re-AUTH 17/s, 1000 upstreams", 1000, 50, 220 * s, 100 * s, false, own, 1, s},
		{"rotation each 5s, 1000 clients", 1000, 1000, 12 * s, 5 * s, true, all, 3, s / 4},
	}
}

func (c rotation) String() string { return c.name }

// loadShare is how much of what the clients can do the load is.
const loadShare = 1. / 3

// turn is what one proxy gave.
type turn struct {
	rate   float64 // commands a second
	rows   []turned
	failed int64 // commands and clients
	first  error // of these
	closed int   // connections to the cache
}

// turned is one rotation.
type turned struct {
	latency.Rotation
	p99, p999 latency.Comparison
}

// run gives each path a process of its own in each round, one after the other.
func (c rotation) run(ctx context.Context, r *report, rounds int, names []string) error {
	if err := enoughFiles(2 * c.clients); err != nil { // the emulator's are ours, too
		return err
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(c.paths, name) })
	if len(names) == 0 {
		return nil
	}
	w, err := newWorld(ctx, emulator.Options{TokenLifetime: c.life, RefreshIn: c.every}, c.front)
	if err != nil {
		return err
	}
	defer w.close()
	t := turnover{rotation: c, order: names, turns: map[string][]turn{}}
	for range rounds {
		for _, name := range names {
			one, err := c.measure(ctx, w, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			t.turns[name] = append(t.turns[name], one)
		}
	}
	r.addTurnover(t)
	return nil
}

func (c rotation) measure(ctx context.Context, w *world, name string) (t turn, err error) {
	expired := w.issuer.Stats().Expired
	p, err := w.open(ctx, name, "--spares", "0") // which re-authenticate as well, and are nobody's
	if err != nil {
		return t, err
	}
	defer p.proxy.stop()
	limit := time.Duration(c.each+3)*c.every + 10*time.Second
	conns, err := w.crowd(ctx, p, c.clients, limit+time.Minute)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	if err != nil {
		return t, err
	}
	able, err := latency.Capacity(conns[:c.busy], min(time.Second, c.every/5))
	if err != nil {
		return t, err
	}
	t.rate = able * loadShare
	running, stop := context.WithTimeout(ctx, limit)
	defer stop()
	l := &latency.Load{Conns: conns[:c.busy], Every: time.Duration(float64(time.Second) / t.rate), Started: time.Now()}
	watch := watchMetrics(p.admin, l.Started, c.each, stop)
	l.Run(running)
	readings, err := watch.end()
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	if err != nil {
		return t, err
	}
	t.failed, t.first = l.Failures()
	for _, conn := range conns[c.busy:] {
		if err := ping(conn); err != nil {
			t.failed++
			t.first = cmp.Or(t.first, err)
		}
	}
	t.closed = max(readings[len(readings)-1].ended, int(w.issuer.Stats().Expired-expired))
	turns, from, end := windows(readings)
	if len(turns) < c.each {
		return t, fmt.Errorf("%d of %d rotations within %v", len(turns), c.each, limit)
	}
	busy, quiet := latency.Split(turns, l.Samples(), from, end)
	for i, r := range turns {
		t.rows = append(t.rows, turned{r,
			latency.Compare(busy[i], quiet[i], quiet[i+1], 0.99, c.slice), latency.Compare(busy[i], quiet[i], quiet[i+1], 0.999, c.slice)})
	}
	return t, nil
}

// crowd is n clients that have done a command each. They may be used for that long.
func (w *world) crowd(ctx context.Context, p path, n int, limit time.Duration) (conns []net.Conn, err error) {
	for range n {
		c, err := w.dial(ctx, p)
		if err != nil {
			return conns, fmt.Errorf("client %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
		if err := errors.Join(ping(c), c.SetDeadline(time.Now().Add(limit))); err != nil {
			return conns, fmt.Errorf("client %d: %w", len(conns), err)
		}
	}
	return conns, nil
}
