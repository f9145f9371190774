package entraredis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// loadLives is for how many lifetimes of a token messages are published.
const loadLives = 20

// loadAhead bounds how many messages the publisher is ahead of the slowest
// subscriber: Redis ends those that are too slow.
const loadAhead = 20_000

// loadRate bounds how many messages come in a second, so that the handovers
// find a machine that is not quite full.
const loadRate = 40_000

// loadFrame is the i-th message. Nine of ten are the same.
func loadFrame(i int64) (channel, payload string) {
	if i%10 == 0 {
		return "load", fmt.Sprint(i)
	}
	return "same", "x"
}

// TestHandoverUnderLoad publishes all the time, through a real Redis, and
// wants each message once and in order at each subscriber, over many lifetimes
// of their tokens.
//
// ENTRAREDIS_REDIS_SERVER names the redis-server to start.
func TestHandoverUnderLoad(t *testing.T) {
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set: it names the redis-server to test against")
	}
	redis := startRedis(t, bin)
	principals := emulator.DefaultPrincipals()
	for i := range principals {
		switch principals[i].Name {
		case "app":
			principals[i].Policy = "+@all ~*"
		case "mi":
			principals[i].Policy = "+@all -publish ~*" // the streams have to be compared
		}
	}
	em := emulator.RunT(t, emulator.Options{
		Flavor: emulator.FlavorRedis, RefuseHello: true, Plaintext: true, TokenLifetime: emulator.MinTokenLifetime,
		Principals: principals,
		Backend: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", redis)
		},
	})
	var subs []*loadSubscriber
	for _, principal := range []string{"app", "mi"} {
		for _, slow := range []bool{false, true} {
			subs = append(subs, newLoadSubscriber(t, em, principal, slow, nil))
		}
	}
	// One has every other try fail, at one of two places.
	var tries, killed atomic.Int64
	taps := &taps{hook: func(n int, words []string) action {
		switch {
		case n == 0 || len(words) < 2 || !isMarker(words[1]):
		case words[0] == "PUBLISH":
			return action{die: tries.Add(1)%4 == 1}
		case words[0] == "UNSUBSCRIBE" && tries.Load()%4 == 3:
			return action{die: killed.Swap(tries.Load()) != tries.Load()} // once
		}
		return action{}
	}}
	subs = append(subs, newLoadSubscriber(t, em, "app", false, taps))
	begun := time.Now()
	ends := begun.Add(loadLives * emulator.MinTokenLifetime)
	pub, err := net.Dial("unix", redis)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	replies := resp.NewReader(pub)
	var sent int64
	for last := false; !last; {
		slowest := sent
		for _, s := range subs {
			if s.failed.Load() {
				ends = time.Time{}
			}
			slowest = min(slowest, s.seen.Load())
		}
		const batch = 100
		if last = time.Now().After(ends); last {
			for _, s := range subs {
				s.want.Store(sent + batch)
			}
		} else if sent-slowest > loadAhead || sent > int64(time.Since(begun).Seconds()*loadRate) {
			<-time.After(time.Millisecond)
			continue
		}
		var b []byte
		for i := range int64(batch) {
			channel, payload := loadFrame(sent + i)
			b = resp.AppendCommand(b, "PUBLISH", channel, payload)
		}
		if _, err := pub.Write(b); err != nil {
			t.Fatal(err)
		}
		for range batch {
			if f, err := replies.ReadFrame(); err != nil || f[0] != ':' {
				t.Fatalf("PUBLISH: %q %v", f, err)
			}
		}
		sent += batch
	}
	for _, s := range subs {
		s.finish(sent)
		st := s.dialer.Stats()
		t.Logf("%s, slow %v: %d messages, %d handovers, %d failed, %v", s.principal, s.slow, s.seen.Load(), st.Handovers, st.HandoverFailed, s.failures)
		if st.Handovers < loadLives/4 || st.Expired != 0 {
			t.Errorf("got %+v", st)
		}
	}
	if st := subs[len(subs)-1].dialer.Stats(); st.HandoverFailed < loadLives/5 {
		t.Errorf("only %d tries failed, of those that were to", st.HandoverFailed)
	}
}

// loadSubscriber counts what it gets, and stops at the first wrong message.
type loadSubscriber struct {
	*testing.T
	principal string
	slow      bool // reads in small pieces, and pauses now and then
	dialer    *entraredis.Dialer
	conn      net.Conn
	seen      atomic.Int64
	failed    atomic.Bool
	want      atomic.Int64 // all that come; -1 while they are not known
	done      chan struct{}

	mu       sync.Mutex // guards failures
	failures map[string]int
}

func newLoadSubscriber(t *testing.T, em *emulator.Emulator, principal string, slow bool, taps *taps) *loadSubscriber {
	s := &loadSubscriber{T: t, principal: principal, slow: slow, done: make(chan struct{}), failures: map[string]int{}}
	s.want.Store(-1)
	life := emulator.MinTokenLifetime
	if taps != nil {
		life *= 3 // leaves time for another try
	}
	credential := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		ends := time.Now().Add(life).Truncate(time.Second)
		token := em.Mint(principal, func(claims map[string]any) {
			claims["uti"], claims["exp"] = fmt.Sprint(serial.Add(1)), ends.Unix()
		})
		return azcore.AccessToken{Token: token, ExpiresOn: ends}, nil
	}}
	source, err := entraredis.New(credential, &entraredis.Options{OnEvent: func(ev entraredis.Event) {
		if ev.Type == entraredis.EventHandoverFailed {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failures[ev.Reason+": "+ev.Err.Error()]++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	s.dialer = &entraredis.Dialer{Source: source, Plaintext: true}
	if taps != nil {
		s.dialer.NetDial = taps.netDial(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", em.RedisAddr())
		})
	}
	if s.conn, err = s.dialer.DialContext(t.Context(), "tcp", em.RedisAddr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	l := &link{T: t, Conn: s.conn, r: resp.NewReader(s.conn)}
	l.do("*3\r\n$9\r\nsubscribe\r\n$4\r\nload\r\n:1\r\n", "SUBSCRIBE", "load")
	l.do("*3\r\n$10\r\npsubscribe\r\n$3\r\nsam\r\n:2\r\n", "PSUBSCRIBE", "sam")
	l.do("*3\r\n$9\r\nsubscribe\r\n$4\r\nsame\r\n:3\r\n", "SUBSCRIBE", "same")
	go s.read()
	return s
}

func (s *loadSubscriber) read() {
	defer close(s.done)
	var src interface{ Read([]byte) (int, error) } = s.conn
	if s.slow {
		src = onlyOneFrame{s.conn, 700}
	}
	r := resp.NewReader(src)
	for i := int64(0); i != s.want.Load(); i++ {
		f, err := r.ReadFrame()
		channel, payload := loadFrame(i)
		if err != nil || string(f) != message(channel, payload) {
			s.failed.Store(true)
			s.Errorf("%s, slow %v: message %d: got %q, %v", s.principal, s.slow, i, f, err)
			return
		}
		s.seen.Store(i + 1)
		if s.slow && i%5000 == 0 {
			<-time.After(30 * time.Millisecond)
		}
	}
}

// finish waits until all have come.
func (s *loadSubscriber) finish(sent int64) {
	s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	<-s.done
	if got := s.seen.Load(); got != sent {
		s.Errorf("%s, slow %v: got %d of %d messages", s.principal, s.slow, got, sent)
	}
}

func startRedis(t *testing.T, bin string) (socket string) {
	dir := t.TempDir()
	socket = filepath.Join(dir, "s")
	if len(socket) > 100 { // more than a socket's name may have
		socket = filepath.Join(os.TempDir(), fmt.Sprintf("entraredis-%d-%d", os.Getpid(), rand.Uint32()))
		t.Cleanup(func() { os.Remove(socket) })
	}
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", bin, err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 1000 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("%s does not listen", bin)
	return ""
}
