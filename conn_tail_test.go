package entraredis_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// A Write whose deadline has passed sends nothing and says so; what an earlier
// Write took is not lost with it.
func TestTailOutlivesADeadline(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		raw := resp.AppendCommand(nil, "PING")
		if n, err := c.Write(raw[:9]); n != 9 || err != nil { // half a name: held
			t.Fatal(n, err)
		}
		c.SetWriteDeadline(time.Now().Add(-time.Second))
		n, err := c.Write(raw[9:])
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
		c.SetWriteDeadline(time.Time{})
		if _, err := c.Write(raw[9:]); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		c.want("+PONG\r\n")
	})
}

// The same without a connection of ours between.
func TestTailOutlivesADeadlineWithoutUs(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		nc, err := s.em.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := &link{T: t, Conn: nc, r: resp.NewReader(nc)}
		defer c.Close()
		raw := resp.AppendCommand(nil, "QUIT")
		c.Write(raw[:9])
		c.SetWriteDeadline(time.Now().Add(-time.Second))
		n, err := c.Write(raw[9:])
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(n, err)
		}
		c.SetWriteDeadline(time.Time{})
		c.Write(raw[9:])
		c.want("+OK\r\n")
	})
}

// What stood behind a blocking command is sent even if the client closes as
// soon as it has that one's reply.
func TestCloseSendsWhatStoodBehindABlock(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer p.Close()
		c.send("BLPOP", "list", "0")
		c.send("SET", "k", "1")
		pass(time.Second)
		p.do(":1\r\n", "RPUSH", "list", "x")
		c.want("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		c.Close()
		pass(time.Second)
		p.do("$1\r\n1\r\n", "GET", "k")
	})
}

// A Write on an expired deadline of which something else was to go out has
// written nothing.
func TestExpiredDeadlineOfBlock(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		c.SetWriteDeadline(time.Now().Add(-time.Second))
		n, err := c.Write(resp.AppendCommand(nil, "BLPOP", "l", "0"))
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write said %d, %v though nothing went out", n, err)
		}
	})
}

// A Write that waits for room must end when the connection has.
func TestWriteThatWaitsEndsWithTheConnection(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		var up net.Conn
		s.dialer.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := s.em.Dial(ctx)
			up = c
			return c, err
		}
		c := s.dial()
		defer c.Close()
		replies := c.reader()
		c.send("BLPOP", "list", "0")
		c.send("SET", "big", string(make([]byte, 1<<20)))
		written := make(chan error, 1)
		go func() { _, err := c.Write([]byte("PING\r\n")); written <- err }()
		pass(time.Second)
		up.Close()
		pass(time.Minute)
		select {
		case _, ok := <-replies:
			t.Logf("Read ended: %v", !ok)
		default:
			t.Error("Read goes on")
		}
		select {
		case err := <-written:
			t.Log(err)
		default:
			t.Error("Write still waits, though the connection has ended")
		}
	})
}
