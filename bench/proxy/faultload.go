package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

const (
	loadClients = 16
	loadPause   = time.Millisecond
	// loadPatience is how long a client of the load waits for an answer.
	loadPatience = 2 * time.Second
	// recoveryLimit is how long after a fault every client must have done something again. azidentity's own retries pause
	// for some seconds.
	recoveryLimit = 15 * time.Second
)

// faultLoad is clients that increment a counter each and keep account of it.
type faultLoad struct {
	addr     string
	stopping atomic.Bool
	settled  atomic.Bool // from here on nothing may fail
	done     sync.WaitGroup
	clients  [loadClients]incrementer
}

// incrementer is one of them.
type incrementer struct {
	key     string
	lately  atomic.Bool // has acknowledged one since that was asked last
	acked   int         // increments that were answered
	unsure  int         // that may have been applied, or not
	failed  int         // commands and connections
	late    int         // of those, once settled
	behind  int         // acked once settled
	worst   time.Duration
	wrong   string // an answer that cannot be
	errs    []string
	conn    net.Conn
	replies *bufio.Reader
}

func newFaultLoad(addr string) *faultLoad {
	l := &faultLoad{addr: addr}
	for i := range l.clients {
		l.clients[i].key = fmt.Sprintf("counter:%d", i)
	}
	return l
}

func (l *faultLoad) start() {
	for i := range l.clients {
		l.done.Go(func() { l.clients[i].run(l) })
	}
}

// recover waits until all clients have incremented once more, and returns how long that took.
func (l *faultLoad) recover(ctx context.Context) time.Duration {
	began := time.Now()
	for i := range l.clients {
		l.clients[i].lately.Store(false)
	}
	for i := range l.clients {
		for !l.clients[i].lately.Load() && time.Since(began) < recoveryLimit && rest(ctx, time.Millisecond) == nil {
		}
	}
	return time.Since(began)
}

// settle says that all is well again.
func (l *faultLoad) settle() { l.settled.Store(true) }

func (l *faultLoad) stop() {
	l.stopping.Store(true)
	l.done.Wait()
}

func (c *incrementer) run(l *faultLoad) {
	defer c.hangUp()
	for !l.stopping.Load() {
		settled := l.settled.Load()
		began := time.Now()
		err := c.increment(l.addr)
		c.worst = max(c.worst, time.Since(began))
		if err == nil {
			if settled {
				c.behind++
			}
			time.Sleep(loadPause)
			continue
		}
		c.failed++
		if settled {
			c.late++
		}
		if len(c.errs) < 3 || settled && c.late == 1 {
			c.errs = append(c.errs, err.Error())
		}
		c.hangUp()
		time.Sleep(20 * time.Millisecond)
	}
}

func (c *incrementer) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// increment connects if need be, and increments the counter once.
func (c *incrementer) increment(addr string) error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", addr, loadPatience)
		if err != nil {
			return err
		}
		c.conn, c.replies = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(loadPatience))
	c.unsure++ // until it is answered
	if _, err := c.conn.Write(resp.AppendCommand(nil, "INCR", c.key)); err != nil {
		return err
	}
	line, err := c.replies.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, ":"), "\r\n"))
	if err != nil || line[0] != ':' {
		return errors.New(strings.TrimSpace(line))
	}
	c.unsure--
	c.acked++
	c.lately.Store(true)
	if least, most := c.acked, c.acked+c.unsure; n < least || n > most {
		c.wrong = fmt.Sprintf("%s is %d, and between %d and %d increments were sent", c.key, n, least, most)
	}
	return nil
}

// judge adds the accounts up and compares them with what Redis holds.
func (l *faultLoad) judge(r *result, redis string, quiet bool) error {
	conn, err := net.Dial("tcp", redis)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	replies := bufio.NewReader(conn)
	for i := range l.clients {
		c := &l.clients[i]
		r.acked, r.failed, r.unsure, r.worst = r.acked+c.acked, r.failed+c.failed, r.unsure+c.unsure, max(r.worst, c.worst)
		if c.wrong != "" {
			r.harm = append(r.harm, c.wrong)
		}
		if c.late > 0 || c.behind == 0 {
			r.harm = append(r.harm, fmt.Sprintf("%s has not recovered: %d done, %d failed in the end: %s", c.key, c.behind, c.late, strings.Join(c.errs, "; ")))
		} else if quiet && c.failed > 0 {
			r.harm = append(r.harm, fmt.Sprintf("%s failed %d times: %s", c.key, c.failed, strings.Join(c.errs, "; ")))
		}
		if _, err := conn.Write(resp.AppendCommand(nil, "GET", c.key)); err != nil {
			return err
		}
		value, err := readBulk(replies)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%s is %q", c.key, value)
		}
		switch {
		case n < c.acked:
			r.harm = append(r.harm, fmt.Sprintf("%s: %d of %d acknowledged increments are lost", c.key, c.acked-n, c.acked))
		case n > c.acked+c.unsure:
			r.harm = append(r.harm, fmt.Sprintf("%s: %d increments more than were sent", c.key, n-c.acked-c.unsure))
		}
	}
	return nil
}

// readBulk reads a bulk string; that of no value is "0", as a counter's.
func readBulk(r *bufio.Reader) (string, error) {
	head, err := r.ReadString('\n')
	if err != nil || head == "$-1\r\n" {
		return "0", err
	}
	value, err := r.ReadString('\n')
	return strings.TrimSpace(value), err
}
