package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// tally is what the clients of this program fill, from many goroutines.
type tally struct {
	mu sync.Mutex
	r  result
}

func newTally() *tally { return &tally{r: result{Done: map[string]int{}}} }

func (t *tally) count(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Done[what] += n
}

func (t *tally) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.r.Failed++; t.r.Failed <= 10 {
		t.r.Errors = append(t.r.Errors, fmt.Sprintf(format, args...))
	}
}

func (t *tally) reconnected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Reconnects++
}

// repeat does work until end. What it returns is an error.
func (t *tally) repeat(ctx context.Context, end time.Time, what string, pause time.Duration, work func(i int) error) {
	for i := 1; time.Now().Before(end) && ctx.Err() == nil; i++ {
		if err := work(i); err != nil {
			t.fail("%s: %v", what, err)
		} else {
			t.count(what, 1)
		}
		time.Sleep(pause)
	}
}

// session is a redis-cli that is given commands one by one and prints one line for each.
type session struct {
	in    io.WriteCloser
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

func (t *tools) session(ctx context.Context, addr string, args ...string) (*session, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, t.cli, append([]string{"-h", host, "-p", port}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	return &session{in, bufio.NewScanner(out), cmd}, cmd.Start()
}

func (s *session) do(command, want string) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return err
	}
	return s.want(want)
}

func (s *session) want(want string) error {
	if !s.lines.Scan() {
		return fmt.Errorf("redis-cli has ended instead of %q", want)
	}
	if got := s.lines.Text(); got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// end has redis-cli read the end of its input.
func (s *session) end() error {
	_ = s.in.Close()
	for s.lines.Scan() {
	}
	return s.cmd.Wait()
}

// playCLI is a person with four terminals, and mass insertion.
func playCLI(ctx context.Context, t *tools, addr string, span time.Duration) (result, error) {
	tally, end := newTally(), time.Now().Add(span)
	var sessions []*session
	for _, args := range [][]string{nil, {"-3"}, nil, {"SUBSCRIBE", "cli:news"}, nil} {
		s, err := t.session(ctx, addr, args...)
		if err != nil {
			return result{}, err
		}
		sessions = append(sessions, s)
	}
	var all sync.WaitGroup
	for i, s := range sessions[:2] {
		key := fmt.Sprintf("cli:%d", i)
		all.Go(func() {
			tally.repeat(ctx, end, "commands", 10*time.Millisecond, func(n int) error {
				for _, step := range [][2]string{
					{"SET " + key + " " + fmt.Sprint(n), "OK"}, {"GET " + key, fmt.Sprint(n)},
					{"MULTI", "OK"}, {"INCR " + key, "QUEUED"}, {"EXEC", fmt.Sprint(n + 1)},
					{`EVAL "return redis.call('GET', KEYS[1])" 1 ` + key, fmt.Sprint(n + 1)},
				} {
					if err := s.do(step[0], step[1]); err != nil {
						return fmt.Errorf("%s: %w", step[0], err)
					}
				}
				return nil
			})
		})
	}
	pushed, published := sessions[4], 0
	if err := sessions[3].subscribed("cli:news"); err != nil {
		return result{}, err
	}
	all.Go(func() {
		tally.repeat(ctx, end, "pushed", 100*time.Millisecond, func(n int) error {
			published = n
			if err := pushed.do(fmt.Sprintf("PUBLISH cli:news %d", n), "1"); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(pushed.in, "RPUSH cli:list %d\n", n); err != nil || !pushed.lines.Scan() {
				return fmt.Errorf("RPUSH: %w", err)
			}
			return nil
		})
		if _, err := fmt.Fprintln(pushed.in, "PUBLISH cli:news over"); err != nil {
			tally.fail("PUBLISH: %v", err)
		}
		if _, err := fmt.Fprintln(pushed.in, "RPUSH cli:list over"); err != nil {
			tally.fail("RPUSH: %v", err)
		}
	})
	all.Go(func() {
		for n := 1; ; n++ {
			for range 3 { // its kind, the channel, and what was said
				if !sessions[3].lines.Scan() {
					tally.fail("SUBSCRIBE ended behind %d messages", n-1)
					return
				}
			}
			got := sessions[3].lines.Text()
			if got == "over" {
				return
			}
			if got != fmt.Sprint(n) {
				tally.fail("message %q, want %d", got, n)
			}
			tally.count("messages", 1)
		}
	})
	all.Go(func() {
		for n := 1; ; n++ {
			if err := sessions[2].do("BLPOP cli:list 0", "cli:list"); err != nil {
				tally.fail("BLPOP: %v", err)
				return
			}
			if !sessions[2].lines.Scan() {
				tally.fail("BLPOP ended")
				return
			}
			got := sessions[2].lines.Text()
			if got == "over" {
				return
			}
			if got != fmt.Sprint(n) {
				tally.fail("popped %q, want %d", got, n)
			}
			tally.count("popped", 1)
		}
	})
	all.Go(func() {
		tally.repeat(ctx, end, "mass insertions", 200*time.Millisecond, func(n int) error { return t.insert(ctx, addr, n) })
	})
	all.Wait()
	if n := tally.r.Done["messages"]; n != published {
		tally.fail("%d messages of %d", n, published)
	}
	sessions[3].cmd.Process.Kill() // it would listen for ever
	for i, s := range sessions {
		if err := s.end(); err != nil && i != 3 {
			tally.fail("redis-cli %d: %v", i, err)
		}
	}
	return tally.r, nil
}

// subscribed waits for the confirmation: its kind, the channel, and how many there are.
func (s *session) subscribed(channel string) error {
	for _, want := range []string{"subscribe", channel, "1"} {
		if err := s.want(want); err != nil {
			return err
		}
	}
	return nil
}

// insert is redis-cli --pipe.
func (t *tools) insert(ctx context.Context, addr string, n int) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&b, "SET cli:mass:%d %d\r\n", i, n)
	}
	cmd := exec.CommandContext(ctx, t.cli, "-h", host, "-p", port, "--pipe")
	cmd.Stdin = &b
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "errors: 0, replies: 1000") {
		err = fmt.Errorf("--pipe: %s", tail(string(out)))
	}
	return err
}
