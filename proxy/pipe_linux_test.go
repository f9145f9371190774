package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

func sharedPipe(p *proxy.Proxy) { p.Upstreams, p.Pipes = proxy.UpstreamsShared, 1 }

// A shared upstream that takes nothing for a while makes its clients wait, and
// loses nothing.
func TestPipeAgainstAStalledUpstream(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, change: sharedPipe})
		const clients, n = 20, 60
		value := strings.Repeat("v", 30_000)
		all := make([]*socketLink, clients)
		for i := range all {
			all[i] = r.connect()
			r.do(all[i], "+PONG\r\n", "PING")
		}
		r.aboard()
		r.way.block(true)
		var sent sync.WaitGroup
		for i, c := range all {
			sent.Go(func() {
				for k := range n {
					c.Write(resp.AppendCommand(nil, "SET", "k"+strconv.Itoa(i), value+strconv.Itoa(k)))
				}
			})
		}
		last, same := uint64(0), 0
		r.becomes("full", func() bool {
			up := r.Stats().BytesUp
			if same++; up != last {
				same = 0
			}
			last = up
			return same > 20 && up > 1<<20
		})
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > 64<<20 {
			t.Errorf("%d bytes in use", m.HeapAlloc)
		}
		r.way.block(false)
		for i, c := range all {
			for k := range n {
				if got, err := c.r.ReadFrame(); err != nil || string(got) != "+OK\r\n" {
					t.Fatalf("%d, %d: got %q, %v", i, k, got, err)
				}
			}
			last := value + strconv.Itoa(n-1)
			r.do(c, fmt.Sprintf("$%d\r\n%s\r\n", len(last), last), "GET", "k"+strconv.Itoa(i))
		}
		sent.Wait()
		r.aboard()
		if s := r.Stats(); s.PipesLost != 0 || s.CommandsLost != 0 || s.SlowReaders != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// Idle clients do not notice that their shared upstream ends.
func TestPipeThatEndsIdle(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, change: sharedPipe})
		all := make([]*socketLink, 20)
		for i := range all {
			all[i] = r.connect()
			r.do(all[i], "+PONG\r\n", "PING")
		}
		r.aboard()
		for round := range 3 {
			r.way.cut()
			r.becomes("lost", func() bool { return r.Stats().PipesLost == uint64(round)+1 })
			for _, c := range all {
				r.do(c, "+PONG\r\n", "PING")
			}
			r.aboard()
		}
		if s := r.Stats(); s.CommandsLost != 0 || s.Pipes != 1 || s.Clients != len(all) {
			t.Errorf("got %+v", s)
		}
	})
}

// One that reads nothing is closed, and the others are not.
func TestSlowReaderInTheLoop(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, change: sharedPipe})
		slow, other := r.connect(), r.connect()
		value := strings.Repeat("v", 30_000)
		r.do(other, "+OK\r\n", "SET", "big", value)
		r.do(slow, "+PONG\r\n", "PING")
		r.aboard()
		// The proxy takes replies for small until the first has come.
		go slow.Write(bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), 3000))
		r.becomes("closed, or on an upstream of its own", func() bool {
			r.do(other, "$30000\r\n"+value+"\r\n", "GET", "big")
			s := r.Stats()
			return s.SlowReaders > 0 || s.Moves > 0
		})
		r.do(other, "+PONG\r\n", "PING")
		slow.Close()
		r.becomes("gone", func() bool { return r.Stats().Clients == 1 })
		r.aboard()
	})
}

// What a client of the loop was, it takes nothing of along.
func TestPipesLeaveNothingBehind(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, change: sharedPipe})
		round := func(n int) {
			clients := make([]*socketLink, n)
			for i := range clients {
				clients[i] = r.connect()
				r.do(clients[i], "+PONG\r\n", "PING")
			}
			for i, c := range clients {
				switch i % 5 {
				case 0:
					c.Close()
				case 1:
					c.Conn.(*net.TCPConn).SetLinger(0)
					c.Close()
				case 2:
					c.Write(resp.AppendCommand(nil, "ECHO", "last"))
					c.Conn.(*net.TCPConn).CloseWrite()
					if rest, err := io.ReadAll(c); string(rest) != "$4\r\nlast\r\n" || err != nil {
						t.Errorf("got %q, %v", rest, err)
					}
					c.Close()
				case 3:
					c.Write(bytes.Repeat(resp.AppendCommand(nil, "ECHO", "unread"), 100))
					c.Close()
				case 4:
					io.WriteString(c, "*1\r\n$4\r\nPI")
					c.Close()
				}
			}
			r.becomes("all have left", func() bool { return r.Stats().Clients == 0 })
			r.way.cut()
			r.becomes("the pipe too", func() bool { return r.Dialer.Stats().Open == 0 && r.em.Stats().Connections == 0 })
		}
		round(5)
		runtime.GC()
		files, routines := fds(t), runtime.NumGoroutine()
		round(100)
		r.becomes("no file descriptor is left behind", func() bool { return fds(t) <= files })
		r.becomes("no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= routines })
	})
}
