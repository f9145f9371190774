package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A sample is one command: when it was to begin, since the load began, and how long after that its reply was there.
type sample struct{ at, took time.Duration }

// A paced load is commands at a fixed rate, over all connections in turn. A command that has to wait for the one before it
// on its connection, or for this very program, counts that as latency: it is due when it is due.
type pacedLoad struct {
	conns   []net.Conn
	every   time.Duration // from one command to the next, over all connections
	started time.Time
	failed  atomic.Int64

	mu         sync.Mutex // guards the rest
	samples    []sample
	firstError error
}

// backlog is how many commands may wait on one connection.
const backlog = 64

// run sends until ctx ends, and returns when all replies are there.
func (l *pacedLoad) run(ctx context.Context) {
	pacing()
	due := make([]chan time.Duration, len(l.conns))
	var wg sync.WaitGroup
	for i, c := range l.conns {
		due[i] = make(chan time.Duration, backlog)
		wg.Go(func() { l.work(c, due[i]) })
	}
	for i := 0; ctx.Err() == nil; i++ {
		at := time.Duration(i) * l.every
		for wait := at - time.Since(l.started); wait > 0; wait = at - time.Since(l.started) {
			pause(wait)
		}
		select {
		case due[i%len(due)] <- at:
		default:
			l.fail(errors.New("a connection does not answer"))
		}
	}
	for _, c := range due {
		close(c)
	}
	wg.Wait()
}

var (
	setCommand = []byte("*3\r\n$3\r\nSET\r\n$4\r\nload\r\n$3\r\nabc\r\n")
	setReply   = "+OK\r\n"
)

// work is one connection. One that failed once is not used again.
func (l *pacedLoad) work(c net.Conn, due <-chan time.Duration) {
	var samples []sample
	reply := make([]byte, len(setReply))
	broken := false
	for at := range due {
		if broken {
			l.failed.Add(1)
			continue
		}
		if err := exchange(c, reply); err != nil {
			l.fail(err)
			broken = true
			continue
		}
		samples = append(samples, sample{at, time.Since(l.started) - at})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, samples...)
}

func exchange(c net.Conn, reply []byte) error {
	if _, err := c.Write(setCommand); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, reply); err != nil {
		return err
	}
	if string(reply) != setReply {
		return fmt.Errorf("SET was answered with %q", reply)
	}
	return nil
}

func (l *pacedLoad) fail(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firstError == nil {
		l.firstError = err
	}
}
