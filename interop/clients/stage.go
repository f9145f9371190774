package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// stage is a Redis, a front before it that takes only tokens and ends a connection with its own, and the proxy.
type stage struct {
	redis, proxy *process
	front        *emulator.Emulator
	addr, admin  string // of the proxy
}

func newStage(ctx context.Context, t *tools, mode string) (_ *stage, err error) {
	s := &stage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	data := addrs[0]
	s.addr, s.admin = addrs[1], addrs[2]
	_, port, _ := strings.Cut(data, ":")
	s.redis, err = start(ctx, data, nil, t.redis, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.dir)
	if err != nil {
		return nil, err
	}
	s.front, err = emulator.Start(ctx, emulator.Options{
		Flavor: emulator.FlavorRedis, TokenLifetime: tokenLife,
		Backend: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", data) },
	})
	if err != nil {
		return nil, err
	}
	ca := filepath.Join(t.dir, "ca.pem")
	if err := os.WriteFile(ca, s.front.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	env := []string{"ENTRAREDIS_CA_FILE=" + ca, "ENTRAREDIS_DISABLE_INSTANCE_DISCOVERY=true"}
	for name, value := range s.front.Env() {
		env = append(env, name+"="+value)
	}
	s.proxy, err = start(ctx, s.addr, env, t.entraredis, "proxy", s.front.RedisAddr(), "--server-name", s.front.Host(),
		"--listen", s.addr, "--admin", s.admin, "--credential", "environment", "--upstreams", mode, "--log-level", "warn")
	return s, err
}

func (s *stage) close() {
	s.proxy.stop()
	if s.front != nil {
		_ = s.front.Close()
	}
	s.redis.stop()
}

// seen is what the proxy has to say.
type seen struct {
	reauths    int
	complaints []string
}

// judge reads the proxy's metrics: without re-AUTHs nothing was proved, and no connection may have ended with its token.
func (s *stage) judge(ctx context.Context) (v seen, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/metrics", nil)
	if err != nil {
		return v, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	sums := map[string]int{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, labels, _ := strings.Cut(name, "{")
		if n, err := strconv.ParseFloat(value, 64); err == nil && !strings.Contains(labels, `result="refused"`) {
			sums[name] += int(n)
		}
	}
	if v.reauths = sums["entraredis_reauths_total"]; v.reauths == 0 {
		v.complaints = append(v.complaints, "no re-AUTHs")
	}
	for _, name := range []string{"connections_expired_total", "commands_lost_total", "dial_failures_total", "shared_upstreams_lost_total", "slow_readers_total"} {
		if n := sums["entraredis_"+name]; n > 0 {
			v.complaints = append(v.complaints, fmt.Sprintf("%s is %d", name, n))
		}
	}
	return v, lines.Err()
}

// process is a server that this program started.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer // to be read once ended is closed
	ended  chan struct{}
}

// start starts a server and waits until it accepts connections.
func start(ctx context.Context, addr string, env []string, command ...string) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // killed at the end, or else the error below says what it wrote
		close(p.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return p, c.Close()
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended before it listened: %s", command[0], bytes.TrimSpace(p.output.Bytes()))
		case <-ctx.Done():
			p.stop()
			return nil, errors.Join(fmt.Errorf("wait for %s", command[0]), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop kills the process and waits for its end. It may be called on nil.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
