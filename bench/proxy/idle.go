package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// idle is clients that are connected and do nothing, and the memory that the proxy holds for each.
type idle struct{ clients int }

func idles(short bool) []idle {
	if short {
		return []idle{{200}}
	}
	return []idle{{1000}, {5000}}
}

func (s idle) String() string { return fmt.Sprintf("idle, %d clients", s.clients) }

// atRest is how long a proxy may take to give buffers back before it is looked at.
const atRest = 2 * time.Second

// run gives each path a process of its own, so that it holds nothing from cases before.
func (s idle) run(ctx context.Context, r *report, rounds int, names []string) error {
	if err := enoughFiles(s.clients); err != nil {
		return err
	}
	w, err := newWorld(ctx, lasting, false)
	if err != nil {
		return err
	}
	defer w.close()
	t := memory{name: s.String(), each: map[string]float64{}}
	for _, name := range names {
		if name == direct || name == plain || name == twemproxy || name == bare {
			continue // no process to measure, or none that holds a connection for each client, or one with buffers for speed alone
		}
		var all []float64
		for range min(rounds, 3) {
			each, err := s.measure(ctx, w, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, each)
		}
		t.order = append(t.order, name)
		t.each[name] = median(all)
	}
	r.addMemory(t)
	return nil
}

// measure returns KiB per client.
func (s idle) measure(ctx context.Context, w *world, name string) (float64, error) {
	p, err := w.open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer p.proxy.stop()
	warm, err := w.dial(ctx, p) // so that what the first client alone needs is not counted
	if err != nil {
		return 0, err
	}
	if err := errors.Join(ping(warm), warm.Close()); err != nil {
		return 0, err
	}
	before, err := p.proxy.resident()
	if err != nil {
		return 0, err
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range s.clients {
		c, err := w.dial(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("client %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
		if err := ping(c); err != nil {
			return 0, fmt.Errorf("client %d: %w", len(conns), err)
		}
	}
	select {
	case <-time.After(atRest):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	after, err := p.proxy.resident()
	return float64(after-before) / 1024 / float64(s.clients), err
}

// enoughFiles says early that the limit of open files is too low, which otherwise shows as a client that is refused.
func enoughFiles(clients int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(2*clients + 200); limit.Max < need { // a proxy has two sockets for each client
		return fmt.Errorf("a proxy needs %d open files and the hard limit is %d: raise it (ulimit -Hn) or leave the case out with --cases", need, limit.Max)
	}
	return nil
}
