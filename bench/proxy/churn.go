package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// churn is clients that connect, send one command and leave: PHP, cron jobs, command lines.
type churn struct {
	openers int
	// pause between two connections of an opener. With one, a proxy has time to open a spare upstream, and what is measured is how
	// long a client takes; without, it is how many the machine can do.
	pause time.Duration
	span  time.Duration
}

func churns(short bool) []churn {
	span := 2 * time.Second
	if short {
		span = 200 * time.Millisecond
	}
	return []churn{{1, 0, span}, {16, 0, span}, {1, 20 * time.Millisecond, span}}
}

func (c churn) String() string {
	if c.pause > 0 {
		return fmt.Sprintf("churn, %d openers, paced", c.openers)
	}
	return fmt.Sprintf("churn, %d openers", c.openers)
}

func (c churn) prepare(_ context.Context, w *world, _ path) (func(context.Context, path) (figures, error), error) {
	return func(ctx context.Context, p path) (figures, error) { return c.run(ctx, w, p) }, nil
}

// run counts connections over span. The rate is one per the time that they took, pauses left out.
func (c churn) run(ctx context.Context, w *world, p path) (f figures, err error) {
	running, stop := context.WithTimeout(ctx, c.span)
	defer stop()
	before, err := usage(w.redis, p.proxy)
	if err != nil {
		return f, err
	}
	clients, err := ownCPU()
	if err != nil {
		return f, err
	}
	visits := make([][]time.Duration, c.openers)
	errs := make([]error, c.openers)
	var wg sync.WaitGroup
	for i := range c.openers {
		wg.Go(func() {
			for running.Err() == nil {
				began := time.Now()
				if errs[i] = visit(ctx, w, p); errs[i] != nil {
					return
				}
				visits[i] = append(visits[i], time.Since(began))
				if c.pause > 0 {
					select {
					case <-time.After(c.pause):
					case <-running.Done():
					}
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return f, err
	}
	after, err := usage(w.redis, p.proxy)
	if err != nil {
		return f, err
	}
	clientsAfter, err := ownCPU()
	if err != nil {
		return f, err
	}
	all := slices.Concat(visits...)
	if len(all) == 0 {
		return f, fmt.Errorf("nobody was served within %v", c.span)
	}
	var took time.Duration
	for _, v := range all {
		took += v
	}
	slices.Sort(all)
	f.p50, f.p99 = all[len(all)/2].Seconds()*1e3, all[len(all)*99/100].Seconds()*1e3
	f.rate = float64(len(all)) * float64(c.openers) / took.Seconds()
	million := float64(len(all)) / 1e6
	f.redisCPU, f.proxyCPU = (after[0]-before[0]).Seconds()/million, (after[1]-before[1]).Seconds()/million
	f.clientCPU = (clientsAfter - clients).Seconds() / million
	return f, nil
}

// ownCPU is the CPU time of this process, of which the clients are goroutines.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// visit is one client.
func visit(ctx context.Context, w *world, p path) error {
	c, err := w.dial(ctx, p)
	if err != nil {
		return err
	}
	defer c.Close()
	return ping(c)
}

// dial connects a client, and sends AUTH where it has to.
func (w *world) dial(ctx context.Context, p path) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := (&net.Dialer{LocalAddr: w.nextHost()}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if p.name == direct {
		c = tls.Client(c, w.clientTLS())
	}
	if p.authenticates() && p.name != twemproxy { // which takes AUTH only for a password of its own
		if err := exchange(c, w.auth(), "+OK\r\n"); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("AUTH: %w", err)
		}
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

// nextHost is the address of a client's machine, one after another: thousands of clients a second are those of many. From a single one
// Linux has ports for 28,000 clients a minute; behind those it spent nearly half of both cores on looking for a free one.
func (w *world) nextHost() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+w.hosts.Add(1)%250))}
}

// auth is the command with which a client sends its token itself.
func (w *world) auth() []byte {
	return fmt.Appendf(nil, "*3\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(objectID), objectID, len(w.token), w.token)
}

func ping(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return exchange(c, []byte("*2\r\n$3\r\nGET\r\n$6\r\nabsent\r\n"), "$-1\r\n")
}

// exchange sends a command and wants that reply. What it got instead is shown, up to a line.
func exchange(c net.Conn, command []byte, want string) error {
	if _, err := c.Write(command); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%w after %q", err, got[:n])
	}
	if !bytes.Equal(got, []byte(want)) {
		return fmt.Errorf("the reply begins with %q", got)
	}
	return nil
}
