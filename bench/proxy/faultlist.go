package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

const mib = 1 << 20

// faults are all there are. What is harmless at a small number is tried with fewer clients in short runs.
func faults(short bool) []fault {
	crowd := 5000
	if short {
		crowd = 500
	}
	return []fault{
		{name: "upstream killed", memory: 32 * mib, inflict: killed},
		{name: "connections killed", memory: 32 * mib, inflict: connectionsKilled},
		{name: "upstream frozen", memory: 32 * mib, inflict: frozen},
		{name: "slow network", memory: 32 * mib, quiet: true, inflict: slow},
		{name: "half-open connections", memory: 32 * mib, flags: []string{"--reply-timeout", "1s"}, inflict: halfOpen},
		{name: "certificate change", memory: 32 * mib, quiet: true, flags: []string{"--spares", "0"}, inflict: certificateChange},
		{name: "token revoked", memory: 32 * mib, front: 2 * time.Second, inflict: revoked},
		{name: "issuer down across two expiries", memory: 32 * mib, front: 2 * time.Second, inflict: issuerDown},
		{name: fmt.Sprintf("%d clients at once", crowd), memory: 480 * mib, quiet: true, inflict: atOnce(crowd)},
		{name: "slow readers", memory: 128 * mib, quiet: true, inflict: slowReaders},
		{name: "clients that send garbage", memory: 64 * mib, quiet: true, inflict: garbage},
		{name: "out of file descriptors", memory: 48 * mib, quiet: true, files: 100, inflict: noFiles},
	}
}

func killed(ctx context.Context, s *scene) error {
	s.w.redis.stop()
	<-ctx.Done()
	return s.w.startRedis(context.WithoutCancel(ctx))
}

// connectionsKilled ends all connections again and again, at instants that nobody chose.
func connectionsKilled(ctx context.Context, s *scene) error {
	c, err := net.Dial("tcp", s.w.plain)
	if err != nil {
		return err
	}
	defer c.Close()
	replies := bufio.NewReader(c)
	n := 0
	for ; rest(ctx, time.Duration(50+rand.IntN(50))*time.Millisecond) == nil; n++ {
		if _, err := c.Write(resp.AppendCommand(nil, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")); err != nil {
			return err
		}
		if line, err := replies.ReadString('\n'); err != nil || line[0] != ':' {
			return fmt.Errorf("CLIENT KILL: %q, %w", line, err)
		}
	}
	s.notes = append(s.notes, fmt.Sprintf("%d times", n))
	return nil
}

func frozen(ctx context.Context, s *scene) error {
	if err := s.w.redis.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	<-ctx.Done()
	return s.w.redis.cmd.Process.Signal(syscall.SIGCONT)
}

func slow(ctx context.Context, s *scene) error {
	s.relay.delay.Store(int64(50 * time.Millisecond))
	<-ctx.Done()
	s.relay.delay.Store(0)
	return nil
}

func halfOpen(ctx context.Context, s *scene) error {
	end := s.relay.hold()
	<-ctx.Done()
	end()
	return nil
}

// certificateChange presents a certificate that nobody trusts, then one that is new and good. The connections that there are do not
// notice, new ones are refused with the reason meanwhile.
func certificateChange(ctx context.Context, s *scene) error {
	if err := s.redis("CONFIG", "SET", "tls-cert-file", s.foreign[0], "tls-key-file", s.foreign[1]); err != nil {
		return err
	}
	line, err := newcomer(s.addr, 10*time.Second)
	switch {
	case err != nil:
		s.harmed("a new client got no answer while the certificate was bad: %v", err)
	case !strings.Contains(line, "certificate"):
		s.harmed("a new client got %q while the certificate was bad", line)
	default:
		s.notes = append(s.notes, "meanwhile: "+line)
	}
	<-ctx.Done()
	if err := s.redis("CONFIG", "SET", "tls-cert-file", s.renewed[0], "tls-key-file", s.renewed[1]); err != nil {
		return err
	}
	return s.welcomes()
}

// newcomer is a client that needs an upstream of its own. It returns the first line that it gets.
func newcomer(addr string, patience time.Duration) (string, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(resp.AppendCommand(nil, "MULTI")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// welcomes demands that a new client is served, after a few seconds at the latest.
func (s *scene) welcomes() error {
	var line string
	var err error
	for range 30 {
		if line, err = newcomer(s.addr, 5*time.Second); err == nil && line == "+OK" {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.harmed("a new client is not served behind it: %q, %v", line, err)
	return nil
}

// revoked has the cache refuse every AUTH: connections end with their token, and come back with the next.
func revoked(ctx context.Context, s *scene) error {
	clear := s.w.issuer.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "WRONGPASS invalid username-password pair or user is disabled."})
	defer clear()
	<-ctx.Done()
	return nil
}

func issuerDown(ctx context.Context, s *scene) error {
	clear := s.w.issuer.SetFault(emulator.Fault{Endpoint: "token", Status: 503, Body: "{}"})
	defer clear()
	<-ctx.Done()
	return nil
}

// atOnce are clients that come together, ask for one thing each, and stay.
func atOnce(n int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		if err := enoughFiles(n); err != nil {
			return err
		}
		var served, refused atomic.Int64
		var last atomic.Value
		var all sync.WaitGroup
		leave := make(chan struct{})
		began := time.Now()
		answered := make(chan struct{}, n)
		for range n {
			all.Go(func() {
				c, err := dialPatiently(s.addr)
				if err == nil {
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(time.Minute))
					if err = exchange(c, resp.AppendCommand(nil, "INCR", "crowd"), ":"); err == nil {
						served.Add(1)
					}
				}
				if err != nil {
					refused.Add(1)
					last.Store(err.Error())
				}
				answered <- struct{}{}
				<-leave
			})
		}
		for range n {
			<-answered
		}
		took := time.Since(began).Round(time.Millisecond)
		<-ctx.Done()
		close(leave)
		all.Wait()
		s.notes = append(s.notes, fmt.Sprintf("%d served within %v", served.Load(), took))
		if refused.Load() > 0 {
			s.harmed("%d were refused, the last with %v", refused.Load(), last.Load())
		}
		return nil
	}
}

// dialPatiently connects, with time for a full queue of the listener.
func dialPatiently(addr string) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, 30*time.Second)
}

// slowReaders ask for much and read nothing of it. It is no more than what Redis itself can pile up without making everyone wait.
func slowReaders(ctx context.Context, s *scene) error {
	c, err := net.Dial("tcp", s.w.plain)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := exchange(c, resp.AppendCommand(nil, "SET", "large", strings.Repeat("v", 256<<10)), "+OK\r\n"); err != nil {
		return err
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c, err := dialPatiently(s.addr)
			if err != nil {
				return
			}
			defer c.Close()
			deadline, _ := ctx.Deadline()
			_ = c.SetWriteDeadline(deadline)
			get := resp.AppendCommand(nil, "GET", "large")
			for range 200 {
				if _, err := c.Write(get); err != nil {
					return // closed, or held up
				}
			}
			<-ctx.Done()
		})
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

// garbage are clients that send what is not RESP, or too much of it, or stop in the middle.
func garbage(ctx context.Context, s *scene) error {
	kinds := []func() []byte{
		func() []byte {
			b := make([]byte, 4096)
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			return b
		},
		func() []byte { return []byte("*1\r\n$1000000000\r\nabc") },
		func() []byte { return []byte("*1000000000\r\n$1\r\nx\r\n") },
		func() []byte { return []byte("*-7\r\n$x\r\n") },
		func() []byte { return []byte(strings.Repeat("*1\r\n", 100000)) },
		func() []byte { return []byte(strings.Repeat("x", 1<<20)) },
		func() []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
		func() []byte { return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
		func() []byte { return resp.AppendCommand(nil, "INCR", "garbage")[:12] },
		func() []byte { return append(resp.AppendCommand(nil, "MULTI"), "*2\r\n$3\r\nGE"...) },
	}
	var sent atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				c, err := dialPatiently(s.addr)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
				_, _ = c.Write(kinds[n%len(kinds)]())
				for b := make([]byte, 4096); err == nil; {
					_, err = c.Read(b)
				}
				_ = c.Close()
				sent.Add(1)
			}
		})
	}
	all.Wait()
	s.notes = append(s.notes, fmt.Sprintf("%d such clients", sent.Load()))
	if sent.Load() == 0 {
		return errors.New("no garbage was sent")
	}
	return nil
}

// noFiles connects more clients than the proxy can have. Those that it has go on, and there is room again when the others have left.
func noFiles(ctx context.Context, s *scene) error {
	var conns []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			break
		}
		conns = append(conns, c)
		_, _ = c.Write(resp.AppendCommand(nil, "MULTI"))
	}
	<-ctx.Done()
	for _, c := range conns {
		_ = c.Close()
	}
	return s.welcomes()
}
