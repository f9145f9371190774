package entraredis_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// Before the first token is refreshed, every AUTH but the one of the dial is for
// MaxIdle.
func TestMaxIdle(t *testing.T) {
	const maxIdle, watched = 2 * time.Second, 20 * time.Second
	for _, tt := range []struct {
		name        string
		refuseHello bool
		maxIdle     time.Duration
		begin       func(c *link)
		every       func(c *link) // half second; nil: nothing
		least, most uint64        // AUTHs
	}{
		{"idle", false, maxIdle, func(*link) {}, nil, 9, 20},
		{"idle behind a command", false, maxIdle, func(c *link) { c.do("+PONG\r\n", "PING") }, nil, 9, 20},
		{"busy", false, maxIdle, func(*link) {}, func(c *link) { c.do("+PONG\r\n", "PING") }, 0, 0},
		{"no bound", false, 0, func(*link) {}, nil, 0, 0},
		{"transaction", false, maxIdle, func(c *link) { c.do("+OK\r\n", "MULTI") }, nil, 0, 0},
		{"subscribed", false, maxIdle, func(c *link) { c.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c") }, nil, 9, 20},
		{"subscribed, without HELLO", true, maxIdle, func(c *link) { c.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c") }, nil, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withDialer(t, emulator.Options{RefuseHello: tt.refuseHello}, func(s *setup) {
				s.dialer.MaxIdle = tt.maxIdle
				c := s.dial()
				defer c.Close()
				tt.begin(c)
				before := s.dialer.Stats().Reauths
				for range watched / (time.Second / 2) {
					if tt.every != nil {
						tt.every(c)
					}
					pass(time.Second / 2)
				}
				st := s.dialer.Stats()
				if got := st.Reauths - before; got < tt.least || got > tt.most || st.Handovers > 0 || st.ReauthRefused > 0 {
					t.Errorf("%d AUTHs in %v, want %d to %d: %+v", got, watched, tt.least, tt.most, st)
				}
				c.Close()
				pass(watched / 2)
				if after := s.dialer.Stats().Reauths; after != st.Reauths {
					t.Errorf("%d AUTHs behind Close", after-st.Reauths)
				}
			})
		})
	}
}

// Connections that were opened together do not send their AUTHs together.
func TestMaxIdleIsSpread(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		const n, slices = 200, 10
		s.dialer.MaxIdle = 20 * time.Second
		for range n {
			defer s.dial().Close()
		}
		pass(s.dialer.MaxIdle / 2)
		before, most := s.dialer.Stats().Reauths, uint64(0)
		for range slices {
			pass(s.dialer.MaxIdle / 2 / slices)
			now := s.dialer.Stats().Reauths
			before, most = now, max(most, now-before)
		}
		if before != n || most > n/2 {
			t.Errorf("%d AUTHs of %d connections, %d of them within %v", before, n, most, s.dialer.MaxIdle/2/slices)
		}
	})
}

// A token that is over is not sent to a cache that has not ended the connection.
func TestMaxIdleWithoutAToken(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		var auths atomic.Int64
		s.dialer.MaxIdle = 2 * time.Second
		s.dialer.NetDial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				for r := resp.NewReader(theirs); ; auths.Add(1) {
					if _, err := r.ReadCommand(); err != nil {
						return
					}
					io.WriteString(theirs, "+OK\r\n")
				}
			}()
			return ours, nil
		}
		defer s.dial().Close()
		s.down.Store(true)
		pass(tokenLife)
		before := auths.Load()
		pass(tokenLife)
		if after := auths.Load(); before < 2 || after != before {
			t.Errorf("%d AUTHs while there was a token, %d behind", before, after-before)
		}
	})
}
