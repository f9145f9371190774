package entraredis_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
)

const noperm = "-NOPERM this user has no permissions\r\n"

// Whatever fails, and wherever, the connection is as before, no message is lost
// or seen twice, and the next try works. One message is published before each
// step.
func TestHandoverThatFails(t *testing.T) {
	tests := []struct {
		name   string
		at     string // the step that fails, once
		action action
		dial   int    // or the dial that fails, of those behind the first
		failed uint64 // handovers
		reason string
		keeps  int // connections besides the publisher's, at the end of a failed try
	}{
		{name: "new connection refused", dial: 1, failed: 1, reason: "connect"},
		{name: "settings refused", at: "new restores select", action: action{reply: noperm}, failed: 1, reason: "restore"},
		{name: "subscription refused", at: "new restores subscribe", action: action{reply: noperm}, failed: 1, reason: "restore"},
		{name: "new connection dies while it is prepared", at: "new restores subscribe", action: action{die: true}, failed: 1, reason: "restore"},
		{name: "the end of the marker is refused", at: "new unsubscribe", action: action{reply: noperm}},
		{name: "marker refused", at: "new subscribe", action: action{reply: noperm}},
		{name: "new connection dies at the marker", at: "new subscribe", action: action{die: true}, failed: 1, reason: "restore"},
		{name: "no connection to publish with", dial: 2},
		{name: "marker refused on the old connection", at: "old subscribe", action: action{reply: noperm}},
		{name: "publish refused", at: "publish", action: action{reply: noperm}},
		{name: "publisher dies", at: "publish", action: action{die: true}, failed: 1, reason: "cut"},
		{name: "publish answered strangely", at: "publish", action: action{reply: "+OK\r\n"}, failed: 1, reason: "cut"},
		{name: "marker reaches one only", at: "publish", action: action{reply: ":1\r\n"}, failed: 1, reason: "cut"},
		{name: "marker never arrives", at: "publish", action: action{reply: ":2\r\n"}, failed: 1, reason: "cut"},
		{name: "new connection dies behind the marker", at: "new unsubscribe behind", action: action{die: true}, failed: 1, reason: "cut"},
		{name: "new connection counts other subscriptions", at: "new unsubscribe behind", action: action{
			reply: "*3\r\n$11\r\nunsubscribe\r\n$52\r\nMARKER\r\n:7\r\n"}, failed: 1, reason: "cut"},
		{name: "PING refused on the new connection", at: "new ping", action: action{reply: noperm}, failed: 1, reason: "cut"},
		{name: "PING refused on the old connection", at: "old ping", action: action{reply: noperm}, failed: 1, reason: "cut"},
	}
	for _, tt := range tests {
		for _, reading := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reading %v", tt.name, reading), func(t *testing.T) {
				withStage(t, emulator.Options{}, func(s *stage) {
					s.sub.do("+OK\r\n", "SELECT", "3")
					s.sub.do(confirmed, "SUBSCRIBE", "a")
					// A pattern must not show the client our channel. (One that matches
					// its own too would see them in any order in this store.)
					s.sub.do("*3\r\n$10\r\npsubscribe\r\n$9\r\nentrared*\r\n:2\r\n", "PSUBSCRIBE", "entrared*")
					if strings.HasSuffix(tt.at, "ping") {
						s.em.SetPolicy("app", "+@all -publish ~*")
					}
					if tt.dial > 0 {
						s.taps.dial = func(n int) error {
							if n == tt.dial {
								return errors.New("connection refused")
							}
							return nil
						}
					}
					hit, unsubscribes := 0, 0
					s.taps.set(func(n int, words []string) action {
						st := step(n, words)
						if st == "" {
							return action{}
						}
						s.publish()
						if st == "new unsubscribe" {
							if unsubscribes++; unsubscribes%2 == 0 {
								st += " behind"
							}
						}
						if st != tt.at || hit > 0 {
							return action{}
						}
						hit++
						a := tt.action
						a.reply = strings.Replace(a.reply, "MARKER", words[len(words)-1], 1)
						return a
					})
					frames := make(chan string, 10_000)
					read := func() (string, bool) {
						f, err := s.sub.r.ReadFrame()
						return string(f), err == nil
					}
					if reading {
						go func() {
							defer close(frames)
							for {
								f, err := s.sub.r.ReadFrame()
								if err != nil {
									return
								}
								frames <- string(f)
							}
						}()
						read = func() (string, bool) {
							select {
							case f, ok := <-frames:
								return f, ok
							case <-time.After(time.Second):
								return "nothing", false
							}
						}
					}
					for s.dialer.Stats().Handovers == 0 {
						s.publish()
						pass(time.Second)
						if st := s.dialer.Stats(); st.Expired > 0 || st.HandoverFailed > tt.failed {
							t.Fatalf("got %+v, %v", st, s.reports(entraredis.EventHandoverFailed))
						}
					}
					if tt.at != "" && hit != 1 {
						t.Errorf("the step was taken %d times", hit)
					}
					if st := s.dialer.Stats(); st.HandoverFailed != tt.failed || s.count(entraredis.EventHandoverFailed, tt.reason) != int(tt.failed) {
						t.Errorf("got %+v, %v; want %d failures with the reason %q", st, s.reports(entraredis.EventHandoverFailed), tt.failed, tt.reason)
					}
					s.taps.set(nil)
					pass(2 * tokenLife)
					s.publish()
					for i := range s.total() {
						if got, ok := read(); !ok || got != message("a", fmt.Sprint(i+1)) {
							t.Fatalf("got %q, want message %d", got, i+1)
						}
					}
					s.sub.send("PUNSUBSCRIBE", "entrared*")
					if got, _ := read(); got != "*3\r\n$12\r\npunsubscribe\r\n$9\r\nentrared*\r\n:1\r\n" {
						t.Errorf("got %q", got)
					}
					if n := len(s.em.Connections()); n != 2 {
						t.Errorf("%d connections, want those of the subscriber and the publisher", n)
					}
				})
			})
		}
	}
}

// reports are the events of a type.
func (s *setup) reports(typ entraredis.EventType) (found []entraredis.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		if ev.Type == typ {
			found = append(found, ev)
		}
	}
	return found
}

// The old connection ends in the middle: the client gets all that came on it,
// and the end.
func TestOldConnectionDiesInAHandover(t *testing.T) {
	for _, reading := range []bool{false, true} {
		t.Run(fmt.Sprintf("reading %v", reading), func(t *testing.T) {
			withStage(t, emulator.Options{}, func(s *stage) {
				s.sub.do(confirmed, "SUBSCRIBE", "a")
				s.publish()
				s.taps.set(func(n int, words []string) action {
					if step(n, words) == "publish" {
						s.taps.conns[0].Conn.Close()
					}
					return action{}
				})
				if !reading {
					pass(tokenLife / 2)
				}
				s.sub.want(message("a", "1"))
				if f, err := s.sub.r.ReadFrame(); err == nil {
					t.Errorf("got %q, want the end", f)
				}
				synctest.Wait()
				if st := s.dialer.Stats(); st.Handovers != 0 || st.HandoverFailed != 1 {
					t.Errorf("got %+v", st)
				}
			})
		})
	}
}

// While the connection changes the client's calls wait, each under its own
// deadline, and take effect behind it.
func TestClientIsHeldUpByAHandover(t *testing.T) {
	for _, tt := range []struct{ name, publish, want string }{
		{"handed over", "", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"},
		{"not handed over", "-ERR busy\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withStage(t, emulator.Options{}, func(s *stage) {
				s.sub.do(confirmed, "SUBSCRIBE", "a")
				wrote := make(chan error, 1)
				once := false
				s.taps.set(func(n int, words []string) action {
					if step(n, words) != "publish" || once {
						return action{}
					}
					once = true
					start := time.Now()
					s.sub.SetDeadline(start.Add(100 * time.Millisecond))
					if _, err := s.sub.Write([]byte("PING\r\n")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
						t.Errorf("Write: got %v after %v, want its deadline", err, time.Since(start))
					}
					if _, err := s.sub.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
						t.Errorf("Read: got %v after %v, want its deadline", err, time.Since(start))
					}
					s.sub.SetDeadline(time.Time{})
					go func() {
						_, err := s.sub.Write([]byte("SUBSCRIBE b\r\n"))
						wrote <- err
					}()
					<-time.After(time.Millisecond)
					s.sub.SetReadDeadline(start.Add(time.Second))
					if len(wrote) != 0 {
						t.Error("the client's command went out in the middle")
					}
					return action{reply: tt.publish}
				})
				err := <-wrote
				if err != nil {
					t.Fatal(err)
				}
				s.sub.want(tt.want)
				// A deadline that was set meanwhile holds on the new connection too.
				_, err = s.sub.Read(make([]byte, 1))
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want the deadline", err)
				}
				s.sub.SetReadDeadline(time.Time{})
				s.publish()
				s.sub.want(message("a", "1"))
				s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n", "UNSUBSCRIBE", "a")
			})
		})
	}
}

// Close in each step leaves nothing open.
func TestCloseInAHandover(t *testing.T) {
	for _, policy := range []string{emulator.PolicyDataOwner, "+@all -publish ~*"} {
		steps := []string{"new restores subscribe", "new unsubscribe", "new subscribe", "old subscribe", "publish", "old unsubscribe", "new ping", "old ping"}
		for _, at := range steps {
			t.Run(policy+", "+at, func(t *testing.T) {
				withStage(t, emulator.Options{}, func(s *stage) {
					if err := s.em.SetPolicy("app", policy); err != nil {
						t.Fatal(err)
					}
					s.sub.do(confirmed, "SUBSCRIBE", "a")
					s.taps.set(func(n int, words []string) action {
						if step(n, words) == at {
							s.sub.Close()
						}
						return action{}
					})
					pass(tokenLife)
					s.sub.Close()
					if _, err := s.sub.r.ReadFrame(); err == nil {
						t.Error("read from a closed connection")
					}
					pass(tokenLife)
					if n := len(s.em.Connections()); n != 1 {
						t.Errorf("%d connections, want that of the publisher", n)
					}
					if st := s.dialer.Stats(); st.Open != 0 {
						t.Errorf("got %+v", st)
					}
				})
			})
		}
	}
}

// The old connection is slow to answer: the handover is given up, and what was
// asked for on it is hidden when it comes.
func TestSlowOldConnectionInAHandover(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		s.sub.do("*3\r\n$10\r\npsubscribe\r\n$9\r\nentrared*\r\n:2\r\n", "PSUBSCRIBE", "entrared*")
		slow := 0
		s.taps.set(func(n int, words []string) action {
			switch {
			case step(n, words) != "publish":
			case slow == 0:
				slow++
				// It is published, but the answer is never heard of.
				go func() {
					<-time.After(20 * time.Second)
					s.pub.do(":1\r\n", "PUBLISH", words[1], "")
				}()
				return action{die: true}
			}
			return action{}
		})
		for range 10 {
			s.publish()
			pass(tokenLife / 2)
		}
		for i := range 10 {
			s.sub.want(message("a", fmt.Sprint(i+1)))
		}
		s.sub.do("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING")
		if st := s.dialer.Stats(); st.HandoverFailed != 1 || st.Handovers < 3 {
			t.Errorf("got %+v", st)
		}
	})
}

// The client changes its subscriptions while the new connection is prepared.
func TestSubscriptionsChangeInAHandover(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		s.sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n", "SUBSCRIBE", "b")
		var steps []string
		s.taps.set(func(n int, words []string) action {
			st := step(n, words)
			if st == "new subscribe" && s.dialer.Stats().Handovers == 0 {
				steps = append(steps, "change")
				s.sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:3\r\n", "SUBSCRIBE", "c")
				s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n", "UNSUBSCRIBE", "a")
				s.sub.send("SUBSCRIBE", "a") // not confirmed when the connection is to change
			}
			if st == "new restores subscribe" || strings.EqualFold(words[0], "unsubscribe") {
				steps = append(steps, strings.Join(words[:2], " "))
			}
			return action{}
		})
		pass(tokenLife * 19 / 20)
		s.sub.want("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:3\r\n")
		if st := s.dialer.Stats(); st.Handovers != 1 || st.HandoverFailed != 0 {
			t.Fatalf("got %+v %v", st, steps)
		}
		if !slices.Contains(steps, "unsubscribe a") || !slices.Contains(steps, "subscribe c") {
			t.Errorf("the new connection was not brought up to date: %q", steps)
		}
		s.taps.set(nil)
		for i, channel := range []string{"a", "b", "c"} {
			s.pub.do(":1\r\n", "PUBLISH", channel, fmt.Sprint(i))
			s.sub.want(message(channel, fmt.Sprint(i)))
		}
		s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:2\r\n", "UNSUBSCRIBE", "b")
	})
}

// What the client does may end the need for a handover that has begun.
func TestHandoverThatIsNotNeeded(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		s.taps.set(func(n int, words []string) action {
			if step(n, words) == "new subscribe" {
				s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", "UNSUBSCRIBE", "a")
			}
			return action{}
		})
		pass(tokenLife * 19 / 20)
		if st := s.dialer.Stats(); st.Handovers != 0 || st.HandoverFailed != 0 || st.Reauths != 1 {
			t.Errorf("got %+v, want an AUTH instead", st)
		}
		pass(3 * tokenLife)
		s.sub.do("+PONG\r\n", "PING")
		if n := len(s.em.Connections()); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// One that always fails is tried again with pauses until the token ends, and
// the end says why.
func TestHandoverThatAlwaysFails(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		s.taps.dial = func(int) error { return errors.New("connection refused") }
		s.publish()
		s.sub.want(message("a", "1"))
		if _, err := s.sub.r.ReadFrame(); err != io.EOF {
			t.Fatalf("got %v, want the end of the connection", err)
		}
		synctest.Wait()
		st := s.dialer.Stats()
		if st.Handovers != 0 || st.HandoverFailed < 3 || st.HandoverFailed > 200 || st.Expired != 1 {
			t.Errorf("got %+v, want several tries with back-off and one expiry", st)
		}
		evs := s.reports(entraredis.EventConnectionExpired)
		if len(evs) != 1 || evs[0].Reason != "resp2-subscribed" || evs[0].Err == nil || !strings.Contains(evs[0].Err.Error(), "refused") {
			t.Errorf("got %+v", evs)
		}
	})
}

// The client changes a setting while the new connection is prepared: the next
// one gets it.
func TestSettingsChangeInAHandover(t *testing.T) {
	withStage(t, emulator.Options{}, func(s *stage) {
		s.sub.do("+OK\r\n", "SELECT", "4")
		s.sub.do(confirmed, "SUBSCRIBE", "a")
		once := false
		s.taps.set(func(n int, words []string) action {
			if step(n, words) == "new subscribe" && !once {
				once = true
				s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", "UNSUBSCRIBE")
				s.sub.do("+OK\r\n", "SELECT", "5")
				s.sub.do("+OK\r\n", "SET", "k", "five")
				s.sub.do(confirmed, "SUBSCRIBE", "a")
			}
			return action{}
		})
		for s.dialer.Stats().Handovers == 0 && s.dialer.Stats().Expired == 0 {
			pass(time.Second)
		}
		if st := s.dialer.Stats(); st.HandoverFailed+st.Reauths == 0 {
			t.Errorf("got %+v, want that try to fail", st)
		}
		s.taps.set(nil)
		s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", "UNSUBSCRIBE")
		s.sub.do("$4\r\nfive\r\n", "GET", "k")
	})
}

// Behind a handover that failed nothing of it stands on the old connection.
func TestFailedHandoverLeavesNoSubscription(t *testing.T) {
	for _, at := range []string{"publish", "new unsubscribe behind"} {
		t.Run(at, func(t *testing.T) {
			withStage(t, emulator.Options{}, func(s *stage) {
				s.sub.do(confirmed, "SUBSCRIBE", "a")
				unsubscribes := 0
				s.taps.set(func(n int, words []string) action {
					st := step(n, words)
					if st == "new unsubscribe" {
						if unsubscribes++; unsubscribes%2 == 0 {
							st += " behind"
						}
					}
					return action{die: st == at}
				})
				for s.dialer.Stats().HandoverFailed == 0 {
					pass(100 * time.Millisecond)
				}
				s.sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n", "SUBSCRIBE", "b")
				s.sub.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n", "UNSUBSCRIBE", "b")
				s.publish()
				s.sub.want(message("a", "1"))
			})
		})
	}
}

// A command that is half written when the connection changes goes to the new
// one as a whole.
func TestHalfWrittenCommandInAHandover(t *testing.T) {
	for _, half := range []string{"*2\r\n$9\r\nSUBS", "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\n"} {
		t.Run(fmt.Sprintf("%q", half), func(t *testing.T) {
			withStage(t, emulator.Options{}, func(s *stage) {
				s.sub.do(confirmed, "SUBSCRIBE", "a")
				once := false
				s.taps.set(func(n int, words []string) action {
					if step(n, words) == "new subscribe" && !once {
						once = true
						s.sub.Write([]byte(half))
					}
					return action{}
				})
				pass(tokenLife * 9 / 10)
				if !once {
					t.Fatal("no handover")
				}
				s.sub.Write([]byte("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nb\r\n"[len(half):]))
				s.sub.want("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
				pass(2 * tokenLife)
				s.publish()
				s.sub.want(message("a", "1"))
				if st := s.dialer.Stats(); st.Handovers < 2 || st.Expired != 0 {
					t.Errorf("got %+v", st)
				}
			})
		})
	}
}
