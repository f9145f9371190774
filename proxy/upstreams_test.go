package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/proxy"
)

// line is what a Proxy dials through, so that a test can hold dials back, and
// cut connections.
type line struct {
	mu    sync.Mutex
	at    []time.Time // of the dials
	conns []net.Conn
	hold  chan struct{} // if not nil, a dial takes one first
	sever bool          // nothing can be reached
}

// through puts l into the way of p.
func (l *line) through(p *proxy.Proxy) {
	dial := p.Dialer.NetDial
	p.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.mu.Lock()
		l.at = append(l.at, time.Now())
		sever, hold := l.sever, l.hold
		l.mu.Unlock()
		if sever {
			return nil, errors.New("connection refused")
		}
		if hold != nil {
			<-hold
		}
		c, err := dial(ctx, network, addr)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, c)
		return c, err
	}
}

func (l *line) dials() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.at)
}

func (l *line) last() net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[len(l.conns)-1]
}

func (l *line) setSevered(to bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sever = to
}

// waiting connects n clients and has each send PING, in order.
func (d *door) waiting(n int) []*link {
	all := make([]*link, n)
	for i := range all {
		all[i] = d.connect()
		all[i].send("PING")
		synctest.Wait()
	}
	return all
}

func TestDialsWaitTheirTurn(t *testing.T) {
	l := &line{hold: make(chan struct{})}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = 2
		l.hold = make(chan struct{}) // of the bubble
		l.through(p)
	}, func(d *door) {
		c := d.waiting(6)
		if s := d.Stats(); s.Dialing != 2 || s.DialsWaiting != 4 || l.dials() != 2 {
			t.Errorf("got %+v and %d dials, want 2 and 4 that wait", s, l.dials())
		}
		c[2].Close() // others go first now
		c[4].send("ECHO", "x")
		synctest.Wait()
		for _, next := range []int{0, 1, 3, 4, 5} {
			l.hold <- struct{}{} // dials are held in the order in which they began
			c[next].want("+PONG\r\n")
			if next == 4 {
				c[4].want("$1\r\nx\r\n") // sent while it waited
			}
			synctest.Wait()
		}
		if s := d.Stats(); s.Dialing != 1 || s.DialsWaiting != 0 || l.dials() != 6 {
			t.Errorf("got %+v, want only the one that left to be left", s)
		}
		c[4].do("+PONG\r\n", "PING")
		close(l.hold)
		pass(2 * time.Second) // it may have closed only its own direction
		if s := d.Stats(); s.Dialing != 0 || s.Clients != 5 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestNoTurnInTime(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials, p.Dialer.ConnectTimeout = 1, 3*time.Second
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		c := d.waiting(2)
		begun := time.Now()
		c[1].ended("-ERR entraredis: cache:6380: cache does not answer: no turn to dial within 3s: 1 dials under way\r\n")
		if got := time.Since(begun); got != 3*time.Second {
			t.Errorf("waited %v, want the ConnectTimeout", got)
		}
		synctest.Wait()
		close(l.hold) // too late for the first as well
		c[0].ended("-ERR entraredis: cache:6380: cache does not answer: context deadline exceeded\r\n")
		if s := d.Stats(); s.DialsWaiting != 0 || s.DialFailures != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

// What no client waited for is a failure all the same.
func TestFailuresWithoutClientsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p *proxy.Proxy)
		check  bool
	}{
		{"spare", func(p *proxy.Proxy) { p.Spares = 1 }, false},
		{"maintenance", withMaintenance, false},
		{"check", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &line{}
			within(t, func(p *proxy.Proxy) {
				l.hold = make(chan struct{})
				l.through(p)
				if tt.change != nil {
					tt.change(p)
				}
			}, func(d *door) {
				checked := make(chan error, 1)
				if tt.check {
					go func() { checked <- d.Check(d.Context()) }()
				}
				synctest.Wait()
				if s := d.Stats(); s.Dialing != 1 || s.DialFailures != 0 {
					t.Fatalf("got %+v, want one dial", s)
				}
				d.away.Store(true)
				close(l.hold)
				synctest.Wait()
				if s := d.Stats(); s.DialFailures != 1 || s.FailedDials[entraredis.KindUnreachable] != 1 {
					t.Errorf("got %+v, want the failure counted, once", s)
				}
				if tt.check {
					if err := <-checked; err == nil {
						t.Error("no error")
					}
					ctx, gone := context.WithCancel(d.Context())
					gone()
					if err := d.Check(ctx); err == nil || d.Stats().DialFailures != 1 {
						t.Errorf("got %v, %+v, want none counted for who has gone", err, d.Stats())
					}
				}
			})
		})
	}
}

func TestAThousandDialsWithoutBound(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = -1
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		d.waiting(40)
		if l.dials() != 40 {
			t.Errorf("got %d dials", l.dials())
		}
		close(l.hold)
	})
	l = &line{}
	within(t, func(p *proxy.Proxy) {
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		d.waiting(40)
		if l.dials() != 16 {
			t.Errorf("got %d dials, want the default", l.dials())
		}
		close(l.hold)
	})
}

func TestBackOff(t *testing.T) {
	const refusal = "-ERR entraredis: cache:6380: cache does not answer: connection refused\r\n"
	l := &line{sever: true}
	within(t, func(p *proxy.Proxy) { l.through(p) }, func(d *door) {
		begun := time.Now()
		first := d.connect()
		first.send("PING")
		first.ended(refusal)
		if got := time.Since(begun); got != 0 {
			t.Errorf("the first waited %v", got)
		}
		told := make(chan string, 200)
		ask := func(n int) {
			for _, c := range d.waiting(n) {
				go func() {
					reply, _ := c.r.ReadFrame()
					told <- string(reply)
				}()
			}
		}
		ask(100)
		pass(14 * time.Second)
		dials := len(told)
		// The pauses grow at first; then there is one dial in 1 s to 2 s.
		if dials < 8 || dials > 5+14 || l.dials() != 1+dials {
			t.Errorf("%d clients were told in 14 s, for %d dials", dials, l.dials())
		}
		for i, at := range l.at[1:] {
			if gap := at.Sub(l.at[i]); gap < 50*time.Millisecond || gap > 2*time.Second {
				t.Errorf("dial %d came %v behind the last", i+1, gap)
			}
		}
		if s := d.Stats(); s.DialsWaiting != 100-dials {
			t.Errorf("got %+v, want all that have not dialed to wait", s)
		}
		ask(10)
		pass(time.Second) // the patience of the 100 has an end
		if s := d.Stats(); len(told) != 100 || s.DialsWaiting != 10 {
			t.Errorf("%d were told, %+v", len(told), s)
		}
		for range 100 {
			if got := <-told; got != refusal {
				t.Errorf("got %q", got)
			}
		}
		l.setSevered(false)
		pass(2 * time.Second)
		for range 10 {
			if got := <-told; got != "+PONG\r\n" {
				t.Errorf("behind the first success: got %q", got)
			}
		}
		// The first success ended it: nobody waits any more.
		now := time.Now()
		d.connect().do("+PONG\r\n", "PING")
		if got := time.Since(now); got != 0 {
			t.Errorf("behind a success a client waited %v", got)
		}
	})
}

func TestARefusedIdentityIsNoReasonToWait(t *testing.T) {
	within(t, nil, func(d *door) {
		d.em.SetEntra(false)
		begun := time.Now()
		for range 3 {
			c := d.connect()
			c.send("PING")
			if got, err := c.r.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-NOAUTH entraredis: ") {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if got := time.Since(begun); got != 0 {
			t.Errorf("waited %v", got)
		}
	})
}

func TestShutdownSendsAwayWhoWaits(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = 1
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		c := d.waiting(2)
		done := make(chan error, 1)
		go func() { done <- d.Shutdown(d.Context()) }()
		c[1].ended("-ERR entraredis: proxy shuts down\r\n")
		late := d.Stats()
		if late.DialsWaiting != 0 || late.DialFailures != 0 || late.Dialing != 1 {
			t.Errorf("got %+v", late)
		}
		close(l.hold)
		c[0].want("+PONG\r\n") // its dial had begun
		if err := <-done; err != nil {
			t.Errorf("Shutdown: got %v", err)
		}
	})
}

func TestCloseWhileClientsWait(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = 1
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		c := d.waiting(2)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			d.Proxy.Close()
		}()
		// It is told, or cut off before that.
		const told = "-ERR entraredis: proxy shuts down\r\n"
		if rest, err := io.ReadAll(c[1].Conn); err != nil || string(rest) != told && len(rest) > 0 {
			t.Errorf("got %q, %v", rest, err)
		}
		if s := d.Stats(); s.DialsWaiting != 0 {
			t.Errorf("got %+v", s)
		}
		synctest.Wait() // for Close to have ended the other one too
		close(l.hold)
		c[0].ended("")
		<-closed
	})
}

// Subscribers that are handed over to another upstream take turns with the
// rest, and clients go first.
func TestHandoversTakeTurns(t *testing.T) {
	const n = 20
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = 2
		p.Dialer.ConnectTimeout = tokenLife // the first are held until the last is due
		l.through(p)
	}, func(d *door) {
		remove := d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "HELLO", Body: "ERR unknown command 'HELLO'"})
		defer remove()
		subscribers := make([]*link, n)
		for i := range subscribers {
			subscribers[i] = d.connect()
			subscribers[i].do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
		}
		begun := l.dials()
		hold := make(chan struct{})
		l.mu.Lock()
		l.hold = hold
		l.mu.Unlock()
		for range tokenLife / time.Second {
			if s := d.Stats(); s.Dialing+s.DialsWaiting == n {
				break
			}
			pass(time.Second)
		}
		if s := d.Stats(); s.Dialing != 2 || s.DialsWaiting != n-2 || l.dials() != begun+2 {
			close(hold)
			t.Fatalf("got %+v and %d dials, want 2 handovers at a time", s, l.dials()-begun)
		}
		// Two dials for each of the two, and then it is the client's turn.
		c := d.connect()
		c.send("PING")
		synctest.Wait()
		for range 4 {
			hold <- struct{}{}
			synctest.Wait()
			if s := d.Stats(); s.Dialing > 2 {
				t.Errorf("got %+v, want 2 at a time", s)
			}
		}
		hold <- struct{}{}
		c.want("+PONG\r\n")
		close(hold)
		synctest.Wait()
		if s, h := d.Stats(), d.Dialer.Stats(); s.Dialing != 0 || s.DialsWaiting != 0 || h.Handovers != n || h.HandoverFailed != 0 {
			t.Errorf("got %+v, %+v, want all handed over", s, h)
		}
		c.do(":20\r\n", "PUBLISH", "c", "m")
		for _, s := range subscribers {
			s.want("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n")
		}
	})
}

func TestChecksTakeTurns(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		p.MaxDials = 1
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		c := d.waiting(1)[0]
		checked := make(chan error, 1)
		go func() { checked <- d.Check(d.Context()) }()
		synctest.Wait()
		if s := d.Stats(); s.Dialing != 1 || s.DialsWaiting != 1 || l.dials() != 1 {
			t.Errorf("got %+v and %d dials, want the check to wait", s, l.dials())
		}
		ctx, cancel := context.WithTimeout(d.Context(), 12*time.Second)
		defer cancel()
		err := d.Check(ctx)
		if want := "context deadline exceeded: entraredis: cache:6380: cache does not answer: no turn to dial within 12s: 1 dials under way"; err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %s", err, want)
		}
		if s := d.Stats(); s.FailedDials[entraredis.KindUnreachable] != 1 || s.DialFailures != 1 {
			t.Errorf("got %+v, want the check that had no turn counted", s)
		}
		close(l.hold)
		if err := <-checked; err != nil {
			t.Error(err)
		}
		c.want("+PONG\r\n")
		d.away.Store(true)
		if err := d.Check(d.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s := d.Dialer.Stats(); s.Open != 1 {
			t.Errorf("got %+v, want the client's upstream only", s)
		}
	})
}
