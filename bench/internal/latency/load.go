// Package latency is what the programs of this module share to measure how long commands take while connections re-authenticate,
// and beside that.
package latency

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

// A Sample is one command: when it was to begin, since the load began, and how long after that its reply was there.
type Sample struct{ At, Took time.Duration }

// A Load is commands at a fixed rate, over all connections in turn. A command that has to wait for the one before it
// on its connection, or for this very program, counts that as latency: it is due when it is due.
type Load struct {
	Conns   []net.Conn
	Every   time.Duration // from one command to the next, over all connections
	Started time.Time     // when the first is due
	failed  atomic.Int64

	mu         sync.Mutex // guards the rest
	samples    []Sample
	firstError error
}

// patience is for how long commands may wait on a connection before it counts as one that does not answer.
const patience = 20 * time.Second

// Run sends until ctx ends, and returns when all replies are there.
func (l *Load) Run(ctx context.Context) {
	defer pacing()()
	backlog := min(max(64, int(patience/(l.Every*time.Duration(len(l.Conns))))), 1<<14)
	due := make([]chan time.Duration, len(l.Conns))
	var wg sync.WaitGroup
	for i, c := range l.Conns {
		due[i] = make(chan time.Duration, backlog)
		wg.Go(func() { l.work(c, due[i]) })
	}
	for i := 0; ctx.Err() == nil; i++ {
		at := time.Duration(i) * l.Every
		for wait := at - time.Since(l.Started); wait > 0; wait = at - time.Since(l.Started) {
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

// Samples are the commands that were answered. They are complete once Run has returned, as are the failures.
func (l *Load) Samples() []Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.samples
}

// Failures returns how many commands failed, and the first error.
func (l *Load) Failures() (n int64, first error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed.Load(), l.firstError
}

var (
	setCommand = []byte("*3\r\n$3\r\nSET\r\n$4\r\nload\r\n$3\r\nabc\r\n")
	setReply   = "+OK\r\n"
)

// work is one connection. One that failed once is not used again.
func (l *Load) work(c net.Conn, due <-chan time.Duration) {
	var samples []Sample
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
		samples = append(samples, Sample{at, time.Since(l.Started) - at})
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

func (l *Load) fail(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firstError == nil {
		l.firstError = err
	}
}

// Capacity is how many commands a second the connections do for that long, each sending as soon as it has been answered.
func Capacity(conns []net.Conn, span time.Duration) (float64, error) {
	var done atomic.Int64
	errs := make([]error, len(conns))
	began := time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			reply := make([]byte, len(setReply))
			for time.Since(began) < span && errs[i] == nil {
				errs[i] = exchange(c, reply)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}
