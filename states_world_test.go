package entraredis_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// world is what a state is held in.
type world struct {
	bin     string // the redis-server to start; "" under a virtual clock
	redis   string // address of the one behind em; "" is the emulator's own
	em      *emulator.Emulator
	virtual bool
	legs    *legs // of em, if it is this state's alone
}

// legs are an emulator's connections to Redis, in the order of their making.
type legs struct {
	mu    sync.Mutex // guards addrs
	addrs []string   // of our side
}

// emulate starts an emulator before the Redis at that address, or its own.
func emulate(t *testing.T, redis string, o emulator.Options, l *legs) *emulator.Emulator {
	t.Helper()
	o.Flavor = emulator.FlavorRedis
	if redis == "" {
		o.NoListen, o.Plaintext = true, true
		if o.TokenLifetime == 0 {
			o.TokenLifetime = tokenLife
		}
		return emulator.RunT(t, o)
	}
	o.TokenLifetime = realLife
	o.Backend = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", redis)
		if err == nil && l != nil {
			l.mu.Lock()
			l.addrs = append(l.addrs, c.LocalAddr().String())
			l.mu.Unlock()
		}
		return c, err
	}
	return emulator.RunT(t, o)
}

// startRedisServer starts a redis-server that ends with the test, and returns
// its address.
func startRedisServer(t *testing.T, bin string, args ...string) string {
	t.Helper()
	var said string
	for range 5 { // another program may be quicker to take the port
		port := freePort(t)
		cmd := exec.Command(bin, append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("start %s: %v", bin, err)
		}
		log := bufio.NewReader(out)
		for err == nil && !strings.Contains(said, "eady to accept connections") {
			said, err = log.ReadString('\n')
		}
		if err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			continue
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, log)
		}()
		t.Cleanup(func() {
			cmd.Process.Kill()
			<-drained
			cmd.Wait()
		})
		return net.JoinHostPort("127.0.0.1", port)
	}
	t.Fatalf("%s does not serve; it said last: %s", bin, said)
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ownEmulator gives this state an emulator of its own, before the same Redis.
func (h *held) ownEmulator(o emulator.Options) {
	h.Helper()
	h.legs = &legs{}
	h.em = emulate(h.T, h.redis, o, h.legs)
}

// ownRedis gives this state a redis-server of its own, and an emulator before it.
func (h *held) ownRedis(args ...string) {
	h.Helper()
	if !h.virtual {
		h.redis = startRedisServer(h.T, h.bin, args...)
		h.ownEmulator(emulator.Options{})
	}
}

// adminOf is a connection to a Redis that no emulator stands in front of.
func (h *held) adminOf(addr string) *link {
	h.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		h.Fatal(err)
	}
	h.closes(c)
	return &link{T: h.T, Conn: c, r: resp.NewReader(c)}
}

// ask returns a reply without its first and last line end.
func (l *link) ask(words ...string) string {
	l.Helper()
	l.send(words...)
	f, err := l.r.ReadFrame()
	if err != nil {
		l.Fatalf("%v: %v", words, err)
	}
	return strings.TrimSuffix(string(f), "\r\n")
}

// redisIDs are the client IDs that Redis itself gave to the emulator's
// connections, in the order in which these were made.
func (h *held) redisIDs(admin *link) (ids []string) {
	h.Helper()
	h.legs.mu.Lock()
	defer h.legs.mu.Unlock()
	list := admin.ask("CLIENT", "LIST")
	for _, addr := range h.legs.addrs {
		found := ""
		for line := range strings.Lines(list) {
			var id string
			if strings.Contains(line, " addr="+addr+" ") {
				fmt.Sscanf(line[strings.Index(line, "id="):], "id=%s", &id)
				found = id
			}
		}
		ids = append(ids, found)
	}
	return ids
}

// blockedClients waits until n clients of this state's own Redis are blocked.
func (h *held) blockedClients(admin *link, n int) {
	h.Helper()
	for want := fmt.Sprintf("\nblocked_clients:%d\r", n); !strings.Contains(admin.ask("INFO", "clients"), want); {
		h.breathe()
	}
}

// breathe lets others do something.
func (h *held) breathe() {
	h.Helper()
	select {
	case <-time.After(h.life() / 400):
	case <-h.gaveUp:
		h.Fatal("waited in vain")
	}
}
