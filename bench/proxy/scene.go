package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// newScene starts all that a fault needs. Redis writes what it has acknowledged to a file first, so that it is there behind a kill.
func newScene(ctx context.Context, f fault, program, mode string) (_ *scene, err error) {
	w, err := emptyWorld()
	if err != nil {
		return nil, err
	}
	s := &scene{w: w, front: f.front > 0, life: f.front}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	w.entraredis = program
	key := s.file("key.pem")
	if w.roots, err = writeCertificate(w.certFile, key); err != nil {
		return nil, err
	}
	s.renewed, s.foreign = [2]string{s.file("renewed.pem"), s.file("renewed-key.pem")}, [2]string{s.file("foreign.pem"), s.file("foreign-key.pem")}
	for _, pair := range [][2]string{s.renewed, s.foreign} {
		if _, err := writeCertificate(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	if err := w.configure(key, "appendonly yes", "appendfsync everysec"); err != nil {
		return nil, err
	}
	if err := w.startRedis(ctx); err != nil {
		return nil, err
	}
	options := lasting
	if s.front {
		options = emulator.Options{TokenLifetime: f.front, Backend: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.plain)
		}}
	}
	if w.issuer, err = emulator.Start(ctx, options); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.issuerCA(), w.issuer.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	return s, s.startProxy(ctx, f, mode)
}

func (s *scene) startProxy(ctx context.Context, f fault, mode string) error {
	cache, name, trusted := s.w.tls, hostName, s.file("trusted.pem")
	if s.front {
		cache, name, trusted = s.w.issuer.RedisAddr(), s.w.issuer.Host(), s.w.issuerCA()
	} else if err := join(trusted, s.w.certFile, s.renewed[0]); err != nil {
		return err
	}
	var err error
	if s.relay, err = startRelay(cache); err != nil {
		return err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	s.addr = addrs[0]
	command := []string{s.w.entraredis, "proxy", s.relay.addr(), "--listen", s.addr, "--admin", addrs[1], "--credential", "environment",
		"--cache-ca-file", trusted, "--server-name", name, "--upstreams", mode, "--log-level", "error"}
	if command = append(command, f.flags...); f.files > 0 {
		command = append([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, f.files), "sh"}, command...)
	}
	s.proxy, err = start(ctx, "entraredis", s.w.env(), addrs, command...)
	return err
}

// join writes the contents of some files, one behind the other, to another.
func join(to string, from ...string) error {
	var all []byte
	for _, name := range from {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return os.WriteFile(to, all, 0o600)
}

// redis sends Redis itself a command, and wants +OK.
func (s *scene) redis(args ...string) error {
	c, err := net.Dial("tcp", s.w.plain)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return exchange(c, resp.AppendCommand(nil, args...), "+OK\r\n")
}

// memoryWatch samples the memory of a process.
type memoryWatch struct {
	p      *process
	cancel chan struct{}
	done   sync.WaitGroup

	mu            sync.Mutex
	base, highest int64
	err           error
}

func watchMemory(p *process) *memoryWatch {
	m := &memoryWatch{p: p, cancel: make(chan struct{})}
	m.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-m.cancel:
				return
			}
			m.sample()
		}
	})
	return m
}

func (m *memoryWatch) sample() {
	now, err := m.p.resident()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.err = err
		return
	}
	m.highest = max(m.highest, now)
}

// mark takes the highest so far as what is normal.
func (m *memoryWatch) mark() {
	m.sample()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.base = m.highest
}

// stop returns the growth since mark.
func (m *memoryWatch) stop() (int64, error) {
	close(m.cancel)
	m.done.Wait()
	return m.highest - m.base, m.err
}
