package entraredis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// setup is a Dialer on an emulator, all inside one synctest bubble.
type setup struct {
	*testing.T
	em     *emulator.Emulator
	source *entraredis.Source
	dialer *entraredis.Dialer

	down   atomic.Bool // the issuer
	mu     sync.Mutex  // guards events
	events []entraredis.Event
}

const tokenLife = time.Minute

func withDialer(t *testing.T, o emulator.Options, f func(s *setup)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.NoListen, o.Plaintext, o.TokenLifetime = true, true, tokenLife
		s := &setup{T: t, em: emulator.RunT(t, o)}
		credential := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
			if s.down.Load() {
				return azcore.AccessToken{}, errors.New("issuer is down")
			}
			token := s.em.Mint("app", func(claims map[string]any) { claims["uti"] = fmt.Sprint(serial.Add(1)) })
			return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(tokenLife).Truncate(time.Second)}, nil
		}}
		source, err := entraredis.New(credential, &entraredis.Options{OnEvent: func(ev entraredis.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, ev)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		s.source = source
		s.dialer = &entraredis.Dialer{Source: source, Plaintext: true, NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.em.Dial(ctx)
		}}
		f(s)
	})
}

func (s *setup) dial() *link {
	s.Helper()
	c, err := s.dialer.DialContext(s.Context(), "tcp", "cache:6380")
	if err != nil {
		s.Fatal(err)
	}
	return &link{T: s.T, Conn: c, r: resp.NewReader(c)}
}

func (s *setup) count(typ entraredis.EventType, reason string) (n int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		if ev.Type == typ && (reason == "" || ev.Reason == reason) {
			n++
		}
	}
	return n
}

// link is a client that checks every reply.
type link struct {
	*testing.T
	net.Conn
	r *resp.Reader
}

func (l *link) send(words ...string) {
	l.Helper()
	if _, err := l.Write(resp.AppendCommand(nil, words...)); err != nil {
		l.Fatalf("%v: %v", words, err)
	}
}

func (l *link) want(reply string) {
	l.Helper()
	got, err := l.r.ReadFrame()
	if err != nil || string(got) != reply {
		l.Fatalf("got %q, %v, want %q", got, err, reply)
	}
}

func (l *link) do(reply string, words ...string) {
	l.Helper()
	l.send(words...)
	l.want(reply)
}

func TestConnOutlivesItsTokens(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		for range 20 * 12 {
			c.do("+OK\r\n", "SET", "k", "v")
			pass(tokenLife / 12)
		}
		st, em := s.dialer.Stats(), s.em.Stats()
		if st.Open != 1 || st.Dials != 1 || st.Expired != 0 || st.ReauthRefused != 0 || st.Reauths < 20 {
			t.Errorf("got %+v, want one connection re-authenticated in 20 lifetimes", st)
		}
		if em.Expired != 0 || em.Accepted != 1 {
			t.Errorf("emulator: %+v", em)
		}
	})
}

func TestIdleConnIsReauthenticatedWithNobodyReading(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		// The deadlines of a command that is long over must not matter.
		c.SetDeadline(time.Now().Add(time.Second))
		c.do("+PONG\r\n", "PING")
		pass(20 * tokenLife)
		if got := s.count(entraredis.EventReauthenticated, ""); got < 20 {
			t.Errorf("got %d re-AUTHs seen through in 20 lifetimes", got)
		}
		c.SetDeadline(time.Time{})
		c.do("+PONG\r\n", "PING")
	})
}

func TestConnIsReauthenticatedWhileTheClientWaitsInRead(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		got := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 10))
			got <- err
		}()
		pass(5 * tokenLife)
		select {
		case err := <-got:
			t.Fatalf("Read returned: %v", err)
		default:
		}
		c.send("PING")
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
}

func TestTransactionIsLeftAlone(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		pass(tokenLife * 45 / 100)
		c.do("+OK\r\n", "MULTI")
		c.do("+QUEUED\r\n", "SET", "k", "v")
		pass(tokenLife / 2)
		if got := s.count(entraredis.EventReauthDeferred, "transaction"); got != 1 {
			t.Errorf("got %d deferrals, want 1 event for the re-AUTH that waits", got)
		}
		c.do("*1\r\n+OK\r\n", "EXEC")
		if got := s.count(entraredis.EventReauthenticated, ""); got != 1 {
			t.Errorf("got %d re-AUTHs behind EXEC, want 1", got)
		}
		pass(tokenLife / 10)
		c.do("+PONG\r\n", "PING")
		if d := s.dialer.Stats(); d.ReauthDeferred != 1 || d.Deferred["transaction"] != 1 {
			t.Errorf("got %+v", d)
		}
	})
}

func TestHalfWrittenCommandIsLeftAlone(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		b := resp.AppendCommand(nil, "SET", "k", "value")
		c.Write(b[:len(b)-3])
		pass(tokenLife * 9 / 10)
		if got := s.em.Stats().Reauths; got != 0 {
			t.Fatalf("got %d re-AUTHs inside a command", got)
		}
		c.Write(b[len(b)-3:])
		c.want("+OK\r\n")
		pass(tokenLife / 5)
		c.do("$5\r\nvalue\r\n", "GET", "k")
	})
}

func TestSubscriberInRESP3IsReauthenticated(t *testing.T) {
	withDialer(t, emulator.Options{Flavor: emulator.FlavorAMR}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer c.Close()
		defer p.Close()
		c.send("HELLO", "3")
		if f, err := c.r.ReadFrame(); err != nil || f[0] != '%' {
			t.Fatalf("HELLO: %q %v", f, err)
		}
		c.do(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "SUBSCRIBE", "a")
		for range 30 {
			pass(tokenLife / 3)
			p.do(":1\r\n", "PUBLISH", "a", "x")
			c.want(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
		}
	})
}

func TestRESP2SubscriberIsReauthenticated(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer c.Close()
		defer p.Close()
		c.do("$-1\r\n", "GET", "k")
		c.do("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "SUBSCRIBE", "a")
		for range 30 {
			pass(tokenLife / 3)
			p.do(":1\r\n", "PUBLISH", "a", "x")
			c.want("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
			c.do("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING")
		}
		c.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n", "UNSUBSCRIBE")
		c.do("$-1\r\n", "GET", "k") // in RESP3 this would be another null
		pass(2 * tokenLife)
		c.do("+PONG\r\n", "PING")
	})
}

// Where the service has no HELLO a RESP2 subscriber cannot be re-authenticated,
// and not be handed over either if it has shown its client what another
// connection cannot be.
func TestRESP2SubscriberWithoutHelloEndsWithItsToken(t *testing.T) {
	withDialer(t, emulator.Options{RefuseHello: true}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		c.send("CLIENT", "ID")
		if f, err := c.r.ReadFrame(); err != nil || f[0] != ':' {
			t.Fatalf("CLIENT ID: %q %v", f, err)
		}
		c.do("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "SUBSCRIBE", "a")
		if _, err := c.r.ReadFrame(); err != io.EOF {
			t.Fatalf("got %v, want the end of the connection", err)
		}
		if got := s.count(entraredis.EventConnectionExpired, "resp2-subscribed"); got != 1 {
			t.Errorf("got %d reports with the reason", got)
		}
		if st := s.dialer.Stats(); st.Expired != 1 || st.Deferred["resp2-subscribed"] != 1 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestBlockedConnIsDeferred(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer c.Close()
		defer p.Close()
		c.send("BLPOP", "list", "0")
		pass(tokenLife * 9 / 10)
		p.do(":1\r\n", "RPUSH", "list", "x")
		c.want("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		pass(tokenLife)
		c.do("+PONG\r\n", "PING")
		if got := s.dialer.Stats().Deferred["blocking-command"]; got != 1 {
			t.Errorf("got %d deferrals", got)
		}
	})
}

func TestRefusedReauthIsTriedAgainUntilExpiry(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		s.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "ERR WRONGPASS invalid username-password pair", Count: 3})
		for range 60 {
			c.do("+PONG\r\n", "PING")
			pass(tokenLife / 20)
		}
		if got := s.count(entraredis.EventReauthRefused, string(entraredis.KindNotAssigned)); got != 3 {
			t.Errorf("got %d refusals reported, want 3", got)
		}
		if st := s.dialer.Stats(); st.ReauthRefused != 3 || st.Refused[entraredis.KindNotAssigned] != 3 || st.Expired != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestReauthRefusedForGood(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		s.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "WRONGPASS invalid username-password pair"})
		start := time.Now()
		for time.Since(start) < tokenLife-2*time.Second {
			c.do("+PONG\r\n", "PING") // serves on with the old token
			pass(time.Second)
		}
		pass(10 * time.Second)
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("got %v, want EOF", err)
		}
		st := s.dialer.Stats()
		if st.Expired != 1 || st.ReauthRefused < 3 || st.ReauthRefused > 200 {
			t.Errorf("got %+v, want several tries with back-off and one expiry", st)
		}
		if got := s.count(entraredis.EventConnectionExpired, string(entraredis.KindNotAssigned)); got != 1 {
			t.Errorf("got %d reports with the reason", got)
		}
	})
}

func TestSlowReauthKeepsTheClientsDeadline(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		s.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Delay: 3 * time.Second, Count: 1})
		for s.em.Stats().Reauths == 0 {
			// The server works off one thing at a time, so a command waits behind
			// AUTH; the client's patience is its own affair.
			start := time.Now()
			c.SetReadDeadline(start.Add(time.Second))
			c.send("PING")
			_, err := c.r.ReadFrame()
			if d := time.Since(start); d > time.Second {
				t.Fatalf("Read took %v, want at most the second it was given", d)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.r = resp.NewReader(c)
				c.SetReadDeadline(time.Time{})
				c.want("+PONG\r\n")
			} else if err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		c.SetReadDeadline(time.Time{})
		c.do("+PONG\r\n", "PING")
	})
}

func TestReadDeadlineMovedWhileOurOwnReadGoesOn(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		clear := s.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Hang: true})
		pass(tokenLife * 85 / 100) // our AUTH is out, and we wait for its answer
		got := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			got <- err
		}()
		synctest.Wait()
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		go func() {
			_, err := c.Read(make([]byte, 1))
			got <- err
		}()
		c.SetReadDeadline(time.Time{})
		synctest.Wait()
		c.Close()
		if err := <-got; err == nil {
			t.Error("Read of a closed connection succeeded")
		}
		clear()
	})
}

func TestReauthsAreSpread(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		const n = 200
		for range n {
			c := s.dial()
			defer c.Close()
		}
		pass(tokenLife * 95 / 100)
		s.mu.Lock()
		defer s.mu.Unlock()
		var first, last time.Time
		perSecond, total := map[time.Time]int{}, 0
		for _, ev := range s.events {
			if ev.Type != entraredis.EventReauthenticated {
				continue
			}
			if first.IsZero() {
				first = ev.Time
			}
			last = ev.Time
			total++
			perSecond[ev.Time.Truncate(time.Second)]++
		}
		if total != n {
			t.Errorf("got %d of %d connections re-authenticated before expiry", total, n)
		}
		if spread := last.Sub(first); spread < 3*time.Second {
			t.Errorf("all within %v", spread)
		}
		for sec, k := range perSecond {
			if k > n/2 {
				t.Errorf("%d of %d in the second %v", k, n, sec)
			}
		}
	})
}

func TestClientThatAuthenticatesItselfIsLeftAlone(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		c.do("+OK\r\n", "AUTH", emulator.AppObjectID, s.em.Mint("app", func(claims map[string]any) { claims["exp"] = time.Now().Add(time.Hour).Unix() }))
		pass(10 * tokenLife)
		c.do("+PONG\r\n", "PING")
		if got := s.em.Stats().Reauths; got != 1 {
			t.Errorf("got %d re-AUTHs, want only the client's own", got)
		}
	})
}

func TestResetIsFollowedByAuth(t *testing.T) {
	withDialer(t, emulator.Options{Flavor: emulator.FlavorRedis}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		c.Write(append(resp.AppendCommand(nil, "RESET"), resp.AppendCommand(nil, "SET", "k", "v")...))
		c.want("+RESET\r\n")
		c.want("+OK\r\n")
		pass(5 * tokenLife)
		c.do("$1\r\nv\r\n", "GET", "k")
	})
}

func TestIssuerOutageAcrossExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		em := emulator.RunT(t, emulator.Options{NoListen: true, Plaintext: true, TokenLifetime: tokenLife})
		var down atomic.Bool
		credential := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
			if down.Load() {
				return azcore.AccessToken{}, errors.New("503 Service Unavailable")
			}
			return azcore.AccessToken{Token: em.Mint("app", nil), ExpiresOn: time.Now().Add(tokenLife)}, nil
		}}
		source, _ := entraredis.New(credential, nil)
		defer source.Close()
		d := &entraredis.Dialer{Source: source, Plaintext: true, NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return em.Dial(ctx) }}
		c, err := d.DialContext(t.Context(), "tcp", "cache:6380")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		pass(tokenLife / 4)
		down.Store(true)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("got %v, want the plain end that Redis makes", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var te *entraredis.TokenError
		if _, err := d.DialContext(ctx, "tcp", "cache:6380"); !errors.As(err, &te) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the issuer's error", err)
		}
		down.Store(false)
		pass(30 * time.Second)
		c2, err := d.DialContext(t.Context(), "tcp", "cache:6380")
		if err != nil {
			t.Fatalf("after the outage: %v", err)
		}
		c2.Close()
	})
}

func TestCloseEndsEverything(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		pass(tokenLife / 2)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: got %v", err)
		}
		if _, err := c.Write([]byte("PING\r\n")); err == nil {
			t.Error("Write to a closed connection succeeded")
		}
		pass(10 * tokenLife)
		if st := s.dialer.Stats(); st.Open != 0 || st.Expired != 0 {
			t.Errorf("got %+v", st)
		}
		if got := len(s.em.Connections()); got != 0 {
			t.Errorf("emulator still has %d connections", got)
		}
	})
}

func TestServerThatDoesNotSpeakRESP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _ := entraredis.New(&scripted{life: time.Hour}, nil)
		defer source.Close()
		client, server := net.Pipe()
		go func() {
			server.Read(make([]byte, 64<<10))
			server.Write([]byte("+OK\r\n"))
			server.Read(make([]byte, 64<<10))
			server.Write([]byte("HTTP/1.1 400 Bad Request\r\n"))
		}()
		d := &entraredis.Dialer{Source: source, Plaintext: true, NetDial: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
		c, err := d.DialContext(t.Context(), "tcp", "x:1")
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("PING\r\n"))
		if b, err := io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "RESP") {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := server.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
	})
}
