package entraredis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// taps sit between a Dialer and the emulator, look at each command that goes
// out and do with it what the test wants.
type taps struct {
	mu    sync.Mutex // guards the rest
	dials int
	dial  func(n int) error // nil: all succeed
	hook  func(n int, words []string) action
	conns []*tapped
}

// action is what becomes of a command: it goes on, unless one of these is set.
type action struct {
	reply string // comes back instead
	die   bool   // the connection ends
}

type tapped struct {
	net.Conn
	n    int
	taps *taps

	mu     sync.Mutex // guards canned
	canned []byte
}

func (t *taps) netDial(dial func(context.Context) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		t.mu.Lock()
		n, fails := t.dials, t.dial
		t.dials++
		t.mu.Unlock()
		if fails != nil {
			if err := fails(n); err != nil {
				return nil, err
			}
		}
		c, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		out := &tapped{Conn: c, n: n, taps: t}
		t.mu.Lock()
		t.conns = append(t.conns, out)
		t.mu.Unlock()
		return out, nil
	}
}

func (t *taps) set(hook func(n int, words []string) action) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hook = hook
}

func (c *tapped) Write(b []byte) (int, error) {
	c.taps.mu.Lock()
	hook := c.taps.hook
	c.taps.mu.Unlock()
	if hook == nil || b[0] != '*' {
		return c.Conn.Write(b)
	}
	args, err := resp.NewReader(strings.NewReader(string(b))).ReadCommand()
	if err != nil {
		return c.Conn.Write(b)
	}
	var words []string
	for _, a := range args {
		words = append(words, string(a))
	}
	a := hook(c.n, words)
	switch {
	case a.die:
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	case a.reply != "":
		c.mu.Lock()
		c.canned = append(c.canned, a.reply...)
		c.mu.Unlock()
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *tapped) Read(p []byte) (int, error) {
	c.mu.Lock()
	n := copy(p, c.canned)
	c.canned = c.canned[n:]
	c.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	return c.Conn.Read(p)
}

// isMarker reports whether a channel is one of a handover.
func isMarker(name string) bool { return strings.HasPrefix(name, "entraredis:handover:") }

// step names a command of a handover; "" if it is none. The old connection is
// number 0, until it has been replaced.
func step(n int, words []string) string {
	old := map[bool]string{true: "old ", false: "new "}[n == 0]
	switch verb := strings.ToLower(words[0]); {
	case verb == "publish" && isMarker(words[1]):
		return "publish"
	case len(words) > 1 && isMarker(words[1]):
		return old + verb
	case n > 0 && (verb == "subscribe" || verb == "psubscribe" || verb == "select" || verb == "client"):
		return "new restores " + verb
	}
	return ""
}

// stage is a subscriber of a service that refuses HELLO, and a publisher of
// numbered messages.
type stage struct {
	*setup
	taps *taps
	sub  *link // connection 0
	pub  *link

	turn chan struct{} // holds one while pub is in use: a mutex would stop the bubble's clock
	sent atomic.Int64
}

func withStage(t *testing.T, o emulator.Options, f func(s *stage)) {
	t.Helper()
	o.RefuseHello = true
	withDialer(t, o, func(s *setup) {
		st := &stage{setup: s, taps: &taps{}, turn: make(chan struct{}, 1)}
		s.dialer.NetDial = st.taps.netDial(s.em.Dial)
		st.sub = s.dial()
		defer st.sub.Close()
		c, err := s.em.Dial(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		defer c.Close()
		st.pub = &link{T: s.T, Conn: c, r: resp.NewReader(c)}
		st.pub.do("+OK\r\n", "AUTH", emulator.UserObjectID, s.em.Mint("ada", func(claims map[string]any) {
			claims["exp"] = time.Now().Add(24 * time.Hour).Unix()
		}))
		f(st)
	})
}

// publish sends the next message.
func (s *stage) publish() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.pub.send("PUBLISH", "a", fmt.Sprint(s.sent.Add(1)))
	if f, err := s.pub.r.ReadFrame(); err != nil || f[0] != ':' {
		s.Errorf("PUBLISH: %q, %v", f, err)
	}
	// The store in the emulator hands messages to goroutines.
	<-time.After(time.Millisecond)
}

func (s *stage) total() int { return int(s.sent.Load()) }

const confirmed = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"

// wantNext reads the messages with the numbers from up to what has been sent.
func (s *stage) wantNext(from int) (next int) {
	s.Helper()
	for ; from <= s.total(); from++ {
		s.sub.want(message("a", fmt.Sprint(from)))
	}
	return from
}

func message(channel, payload string) string {
	return string(resp.AppendCommand(nil, "message", channel, payload))
}

func TestSubscriberIsHandedOver(t *testing.T) {
	tests := []struct {
		name    string
		policy  string
		publish bool // the marker is
	}{
		{"marker", emulator.PolicyDataOwner, true},
		{"PUBLISH is not permitted", "+@all -publish ~*", false},
	}
	for _, tt := range tests {
		for _, reading := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reading %v", tt.name, reading), func(t *testing.T) {
				withStage(t, emulator.Options{}, func(s *stage) {
					if err := s.em.SetPolicy("app", tt.policy); err != nil {
						t.Fatal(err)
					}
					var steps []string
					s.taps.set(func(n int, words []string) action {
						if st := step(n, words); st != "" {
							steps = append(steps, st)
							s.publish() // just before
						}
						return action{}
					})
					s.sub.do("+OK\r\n", "SELECT", "3")
					s.sub.do("+OK\r\n", "SET", "k", "v")
					s.sub.do("+OK\r\n", "CLIENT", "SETNAME", "the-name-of-a-subscriber-longer-than-32-bytes")
					s.sub.do(confirmed, "SUBSCRIBE", "a")
					next := 1
					payloads := make(chan string, 1000)
					done := make(chan struct{})
					if reading {
						go func() {
							defer close(done)
							for {
								f, err := s.sub.r.ReadFrame()
								if err != nil {
									return
								}
								payloads <- string(f)
							}
						}()
					}
					for range 30 {
						s.publish()
						pass(tokenLife / 3)
						if !reading {
							next = s.wantNext(next)
						}
					}
					st := s.dialer.Stats()
					if st.Handovers < 10 || st.HandoverFailed != 0 || st.Expired != 0 || st.Dials != 1 || st.Open != 1 {
						t.Errorf("got %+v", st)
					}
					if got := s.count(entraredis.EventReauthenticated, "handover"); got != int(st.Handovers) {
						t.Errorf("got %d events, %d handovers", got, st.Handovers)
					}
					if got := slices.Contains(steps, "old ping"); got == tt.publish {
						t.Errorf("took these steps: %q", steps[:min(20, len(steps))])
					}
					if n := len(s.em.Connections()); n != 2 {
						t.Errorf("%d connections, want those of the subscriber and the publisher", n)
					}
					if reading {
						synctest.Wait()
						for ; next <= s.total(); next++ {
							if got := <-payloads; got != message("a", fmt.Sprint(next)) {
								t.Fatalf("got %q, want message %d", got, next)
							}
						}
						s.sub.Close()
						<-done
						return
					}
					// What was set is still so.
					s.taps.set(nil)
					s.sub.do("*2\r\n$4\r\npong\r\n$1\r\nx\r\n", "PING", "x")
					s.sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n", "SUBSCRIBE", "b")
					s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n", "UNSUBSCRIBE", "b")
					s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", "UNSUBSCRIBE")
					s.sub.do("$1\r\nv\r\n", "GET", "k")
					s.sub.do("$45\r\nthe-name-of-a-subscriber-longer-than-32-bytes\r\n", "CLIENT", "GETNAME")
					reauths := s.dialer.Stats().Reauths
					pass(3 * tokenLife)
					s.sub.do("$1\r\nv\r\n", "GET", "k")
					if got := s.dialer.Stats(); got.Reauths < reauths+3 || got.Handovers != st.Handovers {
						t.Errorf("no subscriber any more: got %+v", got)
					}
				})
			})
		}
	}
}

// Whoever bounds dials is asked once for each handover, before it opens
// anything, and told how it went.
func TestHandoverIsAdmitted(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		var mu sync.Mutex
		var log []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, what)
		}
		var asked atomic.Int32
		wait := make(chan struct{})
		s.taps.mu.Lock()
		s.taps.dial = func(int) error { note("dial"); return nil }
		s.taps.mu.Unlock()
		s.dialer.Admit = func(ctx context.Context) (func(error), error) {
			note("admit")
			if asked.Add(1) == 1 {
				return nil, errors.New("come back later")
			}
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return func(err error) { note(fmt.Sprint("done ", err)) }, nil
		}
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		pass(tokenLife - time.Second)
		s.publish() // it goes on meanwhile
		s.wantNext(1)
		if st := s.dialer.Stats(); st.HandoverFailed != 1 || st.Handovers != 0 || s.count(entraredis.EventHandoverFailed, "connect") != 1 {
			t.Errorf("got %+v, want the first refused and the second to wait", st)
		}
		close(wait)
		synctest.Wait()
		if st := s.dialer.Stats(); st.HandoverFailed != 1 || st.Handovers != 1 {
			t.Errorf("got %+v", st)
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"admit", "admit", "dial", "dial", "done <nil>"}; !slices.Equal(log, want) {
			t.Errorf("got %q, want %q", log, want)
		}
	})
}
