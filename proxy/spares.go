package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

const (
	// sparePing is how often a spare proves that it is alive. Azure closes
	// what is idle for 10 minutes, but a network that has forgotten a
	// connection tells nobody.
	sparePing = 30 * time.Second

	// sparePong bounds the answer.
	sparePong = 5 * time.Second

	// letGo is how long the next spare is put off when one is taken: Redis, which
	// has one thread, would do the handshake before what the client asks for.
	letGo = 5 * time.Millisecond

	// The pauses between spares that could not be had, or were lost.
	minSparePause = time.Second
	maxSparePause = 30 * time.Second
)

// spare is an upstream that nobody uses yet. Its keeper reads from it all the
// time, so that its end, and the reply to a re-AUTH, are met.
type spare struct {
	conn   net.Conn
	taken  bool      // guarded by upstreams.mu
	handed chan bool // whether it could be given away; room for one
}

// take returns a spare, or nil if there is none that lives, as far as can be
// known without asking the cache.
func (u *upstreams) take() net.Conn {
	for {
		u.mu.Lock()
		if len(u.ready) == 0 {
			u.mu.Unlock()
			return nil
		}
		s := u.ready[0]
		u.ready = u.ready[1:]
		s.taken = true
		u.mu.Unlock()
		s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes its keeper
		if <-s.handed {
			u.mu.Lock()
			u.taken++
			u.mu.Unlock()
			return s.conn
		}
	}
}

// keepSpares keeps n spares until close.
func (u *upstreams) keepSpares(n int, log *slog.Logger) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range n {
		if !u.closed {
			u.keepers.Go(func() { u.keepSpare(log) })
		}
	}
}

// keepSpare keeps one: it opens it, guards it until it is taken, and opens
// the next. Behind one that failed it waits, longer and longer.
func (u *upstreams) keepSpare(log *slog.Logger) {
	for failures := 0; ; {
		c, err := u.ahead()
		lasted := false
		if err == nil {
			lasted, err = u.guard(c)
		}
		if u.ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			if !u.rest(letGo) {
				return
			}
			continue
		}
		if lasted {
			failures = 0
		}
		failures++
		pause := backOff(failures, minSparePause, maxSparePause)
		level := slog.LevelDebug
		if failures == 1 && !lasted {
			level = slog.LevelWarn
		}
		log.Log(u.ctx, level, "no spare upstream", "cache", u.addr, "error", err, "pause", pause.Round(time.Millisecond))
		if !u.rest(pause) {
			return
		}
	}
}

// rest waits. It reports false if there is nothing more to wait for.
func (u *upstreams) rest(pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-u.ctx.Done():
		return false
	}
}

// guard returns nil when c has been taken. Otherwise it closes c, and returns
// why, and whether c had lasted long enough to answer a PING.
func (u *upstreams) guard(c net.Conn) (lasted bool, err error) {
	stop := context.AfterFunc(u.ctx, func() { c.Close() })
	for {
		s := &spare{conn: c, handed: make(chan bool, 1)}
		err := u.lieReady(s)
		if err == nil && !stop() {
			err = net.ErrClosed
		}
		s.handed <- err == nil // nobody waits for it, unless s was taken
		if err == nil {
			return lasted, nil
		}
		if err == errUnproven {
			if err = ping(c); err == nil {
				lasted = true
				continue
			}
		}
		stop()
		c.Close()
		return lasted, err
	}
}

// errUnproven says that an upstream has been silent for sparePing, or that
// something has come that its end may stand behind.
var errUnproven = errors.New("not known to live")

// lieReady offers s until it is taken, which is no error, or has ended, or is
// to prove that it has not.
func (u *upstreams) lieReady(s *spare) error {
	// Before it is offered: who takes it sets another one.
	s.conn.SetReadDeadline(time.Now().Add(sparePing))
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return net.ErrClosed
	}
	u.ready = append(u.ready, s)
	u.mu.Unlock()

	n, err := s.conn.Read(make([]byte, 1))
	u.mu.Lock()
	taken := s.taken
	u.ready = slices.DeleteFunc(u.ready, func(other *spare) bool { return other == s })
	u.mu.Unlock()
	switch {
	case n > 0:
		return errors.New("spare upstream was sent something")
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case !taken:
		return errUnproven
	}
	// The deadline may have woken the keeper in the place of what came.
	if err := heard(s.conn); err != nil {
		return err
	}
	return s.conn.SetReadDeadline(time.Time{})
}

// ping has the cache answer on c, to which nothing is owed. A PING that the
// access policy does not permit is answered as well.
func ping(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(sparePong)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n"); err != nil {
		return err
	}
	r := resp.NewReader(c)
	reply, err := r.ReadFrame()
	if err != nil {
		return err
	}
	if permitted := string(reply) == "+PONG\r\n" || bytes.HasPrefix(reply, []byte("-NOPERM")); !permitted || r.Buffered() > 0 {
		return fmt.Errorf("spare upstream answered %.100q to PING", reply)
	}
	return c.SetDeadline(time.Time{})
}
