package entraredis_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// reader reads replies of a link as they come, so that the connection is read
// from all the time.
func (l *link) reader() <-chan string {
	replies := make(chan string, 10)
	go func() {
		defer close(replies)
		for {
			b, err := l.r.ReadFrame()
			if err != nil {
				return
			}
			replies <- string(b)
		}
	}()
	return replies
}

func next(t *testing.T, replies <-chan string, want string) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-replies:
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	default:
		t.Fatalf("got nothing, want %q", want)
	}
}

func nothing(t *testing.T, replies <-chan string) {
	t.Helper()
	synctest.Wait()
	select {
	case got, ok := <-replies:
		t.Fatalf("got %q (connection open: %v), want nothing", got, ok)
	default:
	}
}

func TestBlockedForTwentyLifetimes(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer c.Close()
		defer p.Close()
		replies := c.reader()
		c.send("BLPOP", "list", "0")
		pass(20 * tokenLife)
		nothing(t, replies)
		p.do(":1\r\n", "RPUSH", "list", "x")
		next(t, replies, "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		c.send("PING")
		next(t, replies, "+PONG\r\n")
		if st := s.dialer.Stats(); st.Expired != 0 || st.Reauths < 38 {
			t.Errorf("got %+v, want 2 connections re-authenticated 20 times", st)
		}
	})
}

func TestTimeoutOfTheClientIsKept(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		replies := c.reader()
		c.send("BRPOP", "list", "301.5")
		pass(301400 * time.Millisecond)
		nothing(t, replies)
		// What is left for the last turn is rounded up to what Redis counts in.
		pass(101 * time.Millisecond)
		next(t, replies, "*-1\r\n")
	})
}

// What a client writes behind a blocking command waits for it, in order, and
// so does a Write when too much waits.
func TestWritesBehindABlockedCommand(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c, p := s.dial(), s.dial()
		defer c.Close()
		defer p.Close()
		replies := c.reader()
		c.send("BLPOP", "list", "0")
		c.send("SET", "k", "1")
		half := resp.AppendCommand(nil, "APPEND", "k", "2")
		c.Write(half[:7])
		pass(3 * tokenLife)
		p.do("$-1\r\n", "GET", "k")
		p.do(":1\r\n", "RPUSH", "list", "x")
		next(t, replies, "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		next(t, replies, "+OK\r\n")
		c.Write(half[7:])
		next(t, replies, ":2\r\n")

		c.send("BLPOP", "list", "0")
		big := strings.Repeat("v", 1<<20)
		c.send("SET", "big", big)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte("PING\r\n")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v of a Write for which there is no room, want its deadline", err)
		}
		c.SetWriteDeadline(time.Time{})
		written := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("PING\r\n"))
			written <- err
		}()
		pass(2 * tokenLife)
		p.do(":1\r\n", "RPUSH", "list", "y")
		next(t, replies, "*2\r\n$4\r\nlist\r\n$1\r\ny\r\n")
		next(t, replies, "+OK\r\n")
		next(t, replies, "+PONG\r\n")
		if err := <-written; err != nil {
			t.Error(err)
		}

		c.send("BLPOP", "list", "0")
		c.send("SET", "big", big)
		go func() {
			_, err := c.Write([]byte("PING\r\n"))
			written <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-written; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v of a Write that waited for room when the connection was closed", err)
		}
	})
}

// The issuer is down: the command is sent again and again, closer and closer
// to the token's end, and serves to the last.
func TestBlockedThroughAnOutage(t *testing.T) {
	withDialer(t, emulator.Options{}, func(s *setup) {
		c := s.dial()
		defer c.Close()
		replies := c.reader()
		c.send("BLPOP", "list", "0")
		s.down.Store(true)
		pass(tokenLife * 9 / 10)
		nothing(t, replies)
		s.down.Store(false)
		pass(10 * tokenLife)
		nothing(t, replies)
		if st := s.dialer.Stats(); st.Expired != 0 {
			t.Errorf("got %+v", st)
		}
	})
}
