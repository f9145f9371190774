package proxy_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

var twinRounds = flag.Int("rounds", 60, "turns of each client in TestSharedTwin")

// realRedis starts a redis-server and returns its socket.
func realRedis(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER names no server")
	}
	dir, err := os.MkdirTemp("", "proxy") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--daemonize", "no", "--loglevel", "warning",
		"--user", "app", "on", "nopass", "+@all", "~*", "&*")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); out.Close(); cmd.Wait() })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		<-tick.C
	}
	t.Fatal("redis-server does not listen")
	return ""
}

// realDoor serves a proxy before the redis-server at a socket; dial opens a
// connection to it.
func realDoor(t *testing.T, p *proxy.Proxy, dial func() (net.Conn, error)) net.Addr {
	t.Helper()
	em := emulator.RunT(t, emulator.Options{NoListen: true, Plaintext: true})
	source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: em.Mint("app", func(c map[string]any) { c["oid"] = "app" }), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	p.Addr = "cache:6380"
	p.Dialer = &entraredis.Dialer{Source: source, Plaintext: true, NetDial: func(context.Context, string, string) (net.Conn, error) { return dial() }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go p.Serve(l)
	return l.Addr()
}

// script is a random conversation over keys of one client alone. {} stands for
// its name.
func script(r *rand.Rand) (lines []string) {
	plain := []string{
		"SET {}k v%d", "GET {}k", "INCR {}n", "GET {}n", "RPUSH {}l %d", "LPOP {}l", "LRANGE {}l 0 -1", "DEL {}k", "HSET {}h f %d", "HGETALL {}h",
		"LPUSH {}k x", "NOSUCH x", "GET", "ECHO {}%d", "XADD {}s 5-* f %d", "XLEN {}s", "EVAL return(redis.call('INCR',KEYS[1])) 1 {}n", "ZADD {}z %d m",
		"ZRANGE {}z 0 -1 WITHSCORES", "TYPE {}k", "OBJECT ENCODING {}n", "EXISTS {}k {}n", "SELECT 0", "XREAD COUNT 1 STREAMS {}none 0", "PING",
		"BLPOP {}none 0.002", "BLPOP {}l 0.002", "UNWATCH", "EXEC", "DISCARD",
	}
	pick := func() string {
		line := plain[r.IntN(len(plain))]
		if strings.Contains(line, "%d") {
			line = fmt.Sprintf(line, r.IntN(50))
		}
		return line
	}
	switch r.IntN(12) {
	case 0, 1:
		lines = append(lines, "MULTI")
		for range r.IntN(4) {
			lines = append(lines, pick())
		}
		lines = append(lines, [...]string{"EXEC", "DISCARD"}[r.IntN(2)])
	case 2:
		lines = append(lines, "WATCH {}n", pick(), "MULTI", "INCR {}n", "EXEC")
	case 3:
		lines = append(lines, "SET {}big "+strings.Repeat("b", r.IntN(100_000)), "STRLEN {}big", "GET {}big")
	case 4:
		lines = append(lines, "SUBSCRIBE {}c", "PUBLISH {}c x", "UNSUBSCRIBE {}c")
		if r.IntN(8) > 0 {
			lines = nil // it makes the rest dedicated
		}
	default:
		for range 1 + r.IntN(10) {
			lines = append(lines, pick())
		}
	}
	return lines
}

// Many clients at a time see what they would see alone on a direct connection,
// however their bytes are cut.
func TestSharedTwin(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsShared, proxy.UpstreamsAuto} {
		t.Run(mode.String(), func(t *testing.T) {
			shared, direct := realRedis(t), realRedis(t)
			p := &proxy.Proxy{Upstreams: mode}
			addr := realDoor(t, p, func() (net.Conn, error) { return net.Dial("unix", shared) })
			var all sync.WaitGroup
			for i := range 24 {
				all.Go(func() { converse(t, i, addr.String(), direct) })
			}
			all.Wait()
			if s := p.Stats(); s.Moves == 0 || s.PipesLost != 0 || s.CommandsLost != 0 || s.SlowReaders != 0 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func converse(t *testing.T, id int, proxied, direct string) {
	r := rand.New(rand.NewPCG(20261124, uint64(id)))
	a, err := net.Dial("tcp", proxied)
	if err != nil {
		t.Error(err)
		return
	}
	defer a.Close()
	b, err := net.Dial("unix", direct)
	if err != nil {
		t.Error(err)
		return
	}
	defer b.Close()
	limit := time.Now().Add(2 * time.Minute)
	a.SetDeadline(limit)
	b.SetDeadline(limit)
	fromA, fromB := resp.NewReader(a), resp.NewReader(b)
	for range *twinRounds {
		if !agree(t, r, id, script(r), &socketLink{a, fromA}, &socketLink{b, fromB}) {
			return
		}
	}
}

// socketLink is a connection whose replies are read.
type socketLink struct {
	net.Conn
	r *resp.Reader
}

// agree sends a conversation of the client id over both connections, to a in
// random pieces, and reports whether every reply from a is that from b.
func agree(t *testing.T, rnd *rand.Rand, id int, lines []string, a, b *socketLink) bool {
	name := fmt.Sprintf("{c%d}", id)
	var out []byte
	for _, l := range lines {
		out = resp.AppendCommand(out, strings.Fields(strings.ReplaceAll(l, "{}", name))...)
	}
	go b.Write(out)
	chunks := cut(rnd, out)
	go func() {
		for _, c := range chunks {
			a.Write(c)
		}
	}()
	for i, l := range lines {
		want, err := b.r.ReadFrame()
		if err != nil {
			t.Errorf("%s, direct: %v", l, err)
			return false
		}
		got, err := a.r.ReadFrame()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("client %d, %.60q (%d of %.300q): got %.200q, %v, want %.200q", id, l, i, lines, got, err, want)
			return false
		}
	}
	return true
}

func cut(r *rand.Rand, b []byte) (chunks [][]byte) {
	for len(b) > 0 {
		n := len(b)
		if r.IntN(3) == 0 {
			n = 1 + r.IntN(n)
		}
		chunks = append(chunks, b[:n])
		b = b[n:]
	}
	return chunks
}

// carrier is an upstream of which is known whether it is one already: one that
// ends while it is being opened is another matter, and closes its clients.
type carrier struct {
	net.Conn
	carries atomic.Bool
}

func (c *carrier) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.IndexByte(p[:n], ':') >= 0 {
		c.carries.Store(true)
	}
	return n, err
}

// No INCR is applied twice and none that was acknowledged is lost, while pipes
// break under load.
func TestBrokenPipesUnderLoad(t *testing.T) {
	redis := realRedis(t)
	var mu sync.Mutex
	var open []*carrier
	p := &proxy.Proxy{Upstreams: proxy.UpstreamsShared}
	addr := realDoor(t, p, func() (net.Conn, error) {
		c, err := net.Dial("unix", redis)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		open = append(open, &carrier{Conn: c})
		return open[len(open)-1], nil
	})
	var acknowledged, doubtful, total atomic.Int64
	breaks := make(chan struct{}, 1000)
	go func() {
		for range breaks {
			mu.Lock()
			open = slices.DeleteFunc(open, func(c *carrier) bool {
				if !c.carries.Load() {
					return false
				}
				c.Close()
				return true
			})
			mu.Unlock()
		}
	}()
	var all sync.WaitGroup
	const clients, rounds, depth = 20, 200, 5
	for range clients {
		all.Go(func() {
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			replies := resp.NewReader(c)
			var pipeline []byte
			for range depth {
				pipeline = resp.AppendCommand(pipeline, "INCR", "n")
			}
			for range rounds {
				if _, err := c.Write(pipeline); err != nil {
					t.Error(err)
					return
				}
				for range depth {
					got, err := replies.ReadFrame()
					switch {
					case err != nil:
						t.Errorf("a client was closed: %v", err)
						return
					case got[0] == ':':
						acknowledged.Add(1)
					case strings.Contains(string(got), "may have run"):
						doubtful.Add(1)
					default:
						t.Errorf("got %q", got)
					}
				}
				if total.Add(1)%200 == 0 {
					breaks <- struct{}{}
				}
			}
		})
	}
	all.Wait()
	close(breaks)
	c, err := net.Dial("unix", redis)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(resp.AppendCommand(nil, "GET", "n"))
	got, err := resp.NewReader(c).ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	fmt.Sscanf(string(got), "$%d\r\n%d", new(int), &n)
	s := p.Stats()
	t.Logf("%d applied, %d acknowledged, %d in doubt, %d pipes lost", n, acknowledged.Load(), doubtful.Load(), s.PipesLost)
	if n < acknowledged.Load() || n > acknowledged.Load()+doubtful.Load() {
		t.Errorf("%d were applied: acknowledged %d, in doubt %d", n, acknowledged.Load(), doubtful.Load())
	}
	if s.PipesLost < 5 || doubtful.Load() == 0 {
		t.Errorf("only %d pipes were lost", s.PipesLost)
	}
}
