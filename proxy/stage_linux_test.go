package proxy_test

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

func overStages(t *testing.T, mode proxy.Upstreams, plaintext bool) *rides {
	return overRides(t, rideOptions{plaintext: plaintext, change: func(p *proxy.Proxy) { p.Upstreams, p.Pipes = mode, 1 }})
}

// A client that has an upstream of its own for a time needs no goroutine for it,
// nor for the way there and back.
func TestStagesNeedNoGoroutine(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overStages(t, proxy.UpstreamsShared, plaintext)
		var all sync.WaitGroup
		clients := make([]*socketLink, 12)
		for i := range clients {
			clients[i] = r.connect()
			all.Go(func() {
				c, k := clients[i], "k"+strconv.Itoa(i)
				for n := range 20 {
					r.do(c, "+OK\r\n", "MULTI")
					r.do(c, "+QUEUED\r\n", "INCR", k)
					r.do(c, "*1\r\n:"+strconv.Itoa(n+1)+"\r\n", "EXEC")
					r.do(c, "+OK\r\n", "WATCH", k)
					r.do(c, "$"+strconv.Itoa(len(strconv.Itoa(n+1)))+"\r\n"+strconv.Itoa(n+1)+"\r\n", "GET", k)
					r.do(c, "+OK\r\n", "UNWATCH")
					r.do(c, "+PONG\r\n", "PING") // over the pipe
				}
				r.do(c, "+OK\r\n", "WATCH", k)
			})
		}
		all.Wait()
		r.aboard()
		if s := r.Stats(); s.Moves < uint64(len(clients)*20) {
			t.Errorf("got %d moves", s.Moves)
		}
		// In the middle of a command, and of a transaction.
		for i, c := range clients {
			k := "k" + strconv.Itoa(i)
			r.do(c, "+OK\r\n", "MULTI")
			b := resp.AppendCommand(nil, "GET", k)
			c.Write(b[:9])
			r.aboard()
			c.Write(b[9:])
			r.gets(c, "+QUEUED\r\n")
			r.do(c, "*1\r\n$2\r\n20\r\n", "EXEC")
			r.do(c, "$2\r\n20\r\n", "GET", k)
		}
		r.aboard()
		for _, c := range clients {
			c.Close()
		}
		r.becomes("all have left", func() bool { return r.Stats().Clients == 0 })
	})
}

// What comes in one piece with the command that lets a client share again is
// carried whole.
func TestMuchBehindAStage(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overStages(t, proxy.UpstreamsShared, plaintext)
		c := r.connect()
		for range 5 {
			r.do(c, "+OK\r\n", "WATCH", "k")
			r.do(c, "+OK\r\n", "UNWATCH")
			r.aboard()
			var much []byte
			const n = 20_000
			for range n {
				much = resp.AppendCommand(much, "PING")
			}
			go c.Write(much)
			for range n {
				r.gets(c, "+PONG\r\n")
			}
		}
	})
}

// An upstream without state is given back behind a while of silence, by the loop
// too, and one with state is not.
func TestSilentStageIsGivenBack(t *testing.T) {
	r := overStages(t, proxy.UpstreamsShared, false)
	clean, dirty, next := r.connect(), r.connect(), r.connect()
	for range 2 {
		r.do(clean, "+OK\r\n", "MULTI")
		r.do(clean, "+OK\r\n", "DISCARD")
		r.do(dirty, "+OK\r\n", "WATCH", "k")
		r.aboard()
		open := r.Dialer.Stats().Open
		r.becomes("given back", func() bool { return proxy.Returned(r.Proxy) == 1 })
		r.do(next, "+OK\r\n", "MULTI")
		r.do(next, "+OK\r\n", "DISCARD")
		if now := r.Dialer.Stats().Open; now != open {
			t.Errorf("%d upstreams are open, want %d", now, open)
		}
		r.do(next, "+PONG\r\n", "PING")
	}
	r.do(clean, "+PONG\r\n", "PING")
	r.do(dirty, "+OK\r\n", "MULTI")
	r.do(next, "+OK\r\n", "SET", "k", "v")
	r.do(dirty, "+QUEUED\r\n", "PING")
	r.do(dirty, "*-1\r\n", "EXEC")
	r.aboard()
}

// What blocks for longer than the while behind which upstreams are given back
// stays in the loop meanwhile, and so does who has blocked.
func TestBlockedStagesInTheLoop(t *testing.T) {
	r := overStages(t, proxy.UpstreamsShared, false)
	forever, long, half, other := r.connect(), r.connect(), r.connect(), r.connect()
	forever.Write(resp.AppendCommand(nil, "BLPOP", "a", "0"))
	long.Write(resp.AppendCommand(nil, "BLPOP", "b", "20"))
	r.do(half, "+OK\r\n", "MULTI")
	r.do(half, "*0\r\n", "EXEC")
	set := resp.AppendCommand(nil, "SET", "c", strings.Repeat("v", 100_000))
	half.Write(set[:80_000])
	r.becomes("all have moved", func() bool { return r.Stats().Moves == 3 })
	begun, busy := time.Now(), 0
	r.becomes("time has passed", func() bool {
		if time.Since(begun) < 2500*time.Millisecond {
			return false
		}
		if goroutines("proxy.(*stage).resume") > 0 {
			busy++
		}
		return time.Since(begun) > 3*time.Second
	})
	if busy > 20 {
		t.Errorf("found in a goroutine %d times in half a second", busy)
	}
	half.Write(set[80_000:])
	r.gets(half, "+OK\r\n")
	for c, list := range map[*socketLink]string{forever: "a", long: "b"} {
		r.do(other, ":1\r\n", "RPUSH", list, "v")
		r.gets(c, "*2\r\n$1\r\n"+list+"\r\n$1\r\nv\r\n")
	}
	for _, c := range []*socketLink{forever, long, half} {
		r.do(c, "+PONG\r\n", "PING")
		r.aboard()
		r.do(c, "+PONG\r\n", "PING")
	}
	r.aboard()
}

// A client that keeps its upstream for good is like one that never shares: it
// needs no goroutine, and another upstream takes the place of one that ends.
func TestKeptUpstreamIsRestored(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overStages(t, proxy.UpstreamsAuto, plaintext)
		kept, clean, dirty, subscriber := r.connect(), r.connect(), r.connect(), r.connect()
		r.do(kept, "+PONG\r\n", "PING")
		r.do(kept, "+OK\r\n", "CLIENT", "SETNAME", "me")
		r.do(kept, "+OK\r\n", "SELECT", "3")
		r.do(clean, "+OK\r\n", "MULTI")
		r.do(clean, "+OK\r\n", "DISCARD")
		r.do(dirty, "+OK\r\n", "WATCH", "k")
		r.do(subscriber, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
		before := r.Stats().Restored
		r.way.cut()
		r.becomes("restored", func() bool { return r.Stats().Restored == before+2 })
		r.do(kept, "$2\r\nme\r\n", "CLIENT", "GETNAME")
		r.do(kept, "+OK\r\n", "SET", "k", "0")
		other := r.connect()
		r.do(other, "+OK\r\n", "SELECT", "3")
		r.do(other, "$1\r\n0\r\n", "GET", "k")
		r.do(other, ":1\r\n", "PUBLISH", "c", "hello")
		other.Close()
		r.gets(subscriber, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n")
		if got, err := io.ReadAll(dirty); len(got) > 0 || err != nil { // it may not go on as if k were still watched
			t.Errorf("got %q, %v", got, err)
		}
		r.do(clean, "+PONG\r\n", "PING")
		before = r.Stats().Restored
		r.way.cut()
		r.becomes("restored", func() bool { return r.Stats().Restored == before+2 })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil { // nobody is owed anything
			t.Error(err)
		}
	})
}

// A client of large values moves to an upstream of its own, where the loop
// carries for it, slow as it may be, and it shares again behind a while.
func TestLargeValuesInTheLoop(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overStages(t, proxy.UpstreamsAuto, plaintext)
		c := r.connect()
		value := strings.Repeat("v", 100_000)
		want := "$100000\r\n" + value + "\r\n"
		r.do(c, "+OK\r\n", "SET", "big", value)
		r.do(c, want, "GET", "big")
		r.do(c, want, "GET", "big")
		r.aboard()
		moves := r.Stats().Moves
		const n = 200
		pipeline := bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), n)
		for range n {
			pipeline = resp.AppendCommand(pipeline, "SET", "big", value)
		}
		go c.Write(pipeline)
		r.becomes("all replies wait", func() bool { return r.Stats().BytesDown > 1<<20 })
		for range n {
			r.gets(c, want)
		}
		for range n {
			r.gets(c, "+OK\r\n")
		}
		r.aboard()
		if s := r.Stats(); s.Moves != moves || s.SlowReaders != 0 {
			t.Errorf("got %+v", s)
		}
		r.becomes("given back", func() bool { return proxy.Returned(r.Proxy) > 0 })
		r.do(c, "+PONG\r\n", "PING")
	})
}

// Who ends a client of the loop does so in a stage, too.
func TestStagesEnd(t *testing.T) {
	r := overStages(t, proxy.UpstreamsShared, false)
	clients := make([]*socketLink, 8)
	for i := range clients {
		clients[i] = r.connect()
		r.do(clients[i], "+OK\r\n", "MULTI")
	}
	r.aboard()
	for _, c := range clients[:4] {
		c.Close()
	}
	r.becomes("four have left", func() bool { return r.Stats().Clients == 4 && r.Dialer.Stats().Open == 4 })
	r.Close()
	for _, c := range clients[4:] {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	r.becomes("nothing is left", func() bool { return r.Stats().Clients == 0 && r.Dialer.Stats().Open == 0 })
}
