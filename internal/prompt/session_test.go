package prompt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/entraredis/entraredis/internal/prompt"
	"github.com/entraredis/entraredis/internal/resp"
)

// server answers the commands of a session from a script, connection by
// connection: command, then what is sent back. The reply "close" closes.
type server struct {
	t     *testing.T
	lives [][][2]string
	dials int
}

func (s *server) dial(context.Context) (net.Conn, error) {
	if s.dials == len(s.lives) {
		return nil, errors.New("no more connections")
	}
	client, conn := net.Pipe()
	life := s.lives[s.dials]
	s.dials++
	go func() {
		defer conn.Close()
		commands := resp.NewReader(conn)
		for _, step := range life {
			args, err := commands.ReadCommand()
			if err != nil {
				s.t.Errorf("waiting for %q: %v", step[0], err)
				return
			}
			if got := strings.Join(words(args), " "); got != step[0] {
				s.t.Errorf("got %q, want %q", got, step[0])
			}
			if step[1] == "close" {
				return
			}
			if _, err := io.WriteString(conn, step[1]); err != nil {
				s.t.Errorf("answering %q: %v", step[0], err)
				return
			}
		}
		if _, err := commands.ReadCommand(); err == nil {
			s.t.Error("one command too many")
		}
	}()
	return client, nil
}

func words(args [][]byte) (all []string) {
	for _, arg := range args {
		all = append(all, string(arg))
	}
	return all
}

// do sends a line and returns the replies as text.
func do(ctx context.Context, s *prompt.Session, line string) (replies []string, err error) {
	args, _ := resp.SplitLine([]byte(line))
	err = s.Do(ctx, args, func(v prompt.Value) { replies = append(replies, strings.TrimSpace(string(prompt.Raw(v)))) })
	return replies, err
}

func TestSessionTakesItsStateAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{t: t, lives: [][][2]string{
			{
				{"HELLO 3", "%1\r\n+proto\r\n:3\r\n"}, {"SELECT 2", "+OK\r\n"}, {"GET k", "$1\r\nv\r\n"},
				{"MULTI", "+OK\r\n"}, {"SELECT 5", "+QUEUED\r\n"}, {"EXEC", "*1\r\n+OK\r\n"},
				{"MULTI", "+OK\r\n"}, {"SELECT 6", "+QUEUED\r\n"}, {"DISCARD", "+OK\r\n"}, {"GET lost", "close"},
			},
			{{"HELLO 3", "-ERR unknown command\r\n"}, {"SELECT 5", "+OK\r\n"}, {"RESET", "+RESET\r\n"}, {"MULTI", "+OK\r\n"}, {"INCR n", "close"}},
			{{"HELLO 3", "-ERR unknown command\r\n"}, {"PING", "+PONG\r\n"}},
		}}
		s := &prompt.Session{Dial: srv.dial, RESP3: true}
		defer s.Close()
		for _, step := range []struct {
			line, reply string
			err         error
			db          int
			tx          bool
		}{
			{line: "SELECT 2", reply: "OK", db: 2}, {line: "GET k", reply: "v", db: 2},
			{line: "MULTI", reply: "OK", db: 2, tx: true}, {line: "SELECT 5", reply: "QUEUED", db: 2, tx: true}, {line: "EXEC", reply: "OK", db: 5},
			{line: "MULTI", reply: "OK", db: 5, tx: true}, {line: "SELECT 6", reply: "QUEUED", db: 5, tx: true}, {line: "DISCARD", reply: "OK", db: 5},
			{line: "CLIENT REPLY OFF", err: prompt.ErrNoReply, db: 5},
			{line: "GET lost", err: prompt.ErrLost, db: 5},
			{line: "RESET", reply: "RESET"},
			{line: "MULTI", reply: "OK", tx: true}, {line: "INCR n", err: prompt.ErrLost},
			{line: "PING", reply: "PONG"},
		} {
			got, err := do(t.Context(), s, step.line)
			if !errors.Is(err, step.err) || strings.Join(got, "|") != step.reply || s.DB() != step.db || s.InTransaction() != step.tx {
				t.Errorf("%s: got %q, %v, database %d, transaction %v, want %+v", step.line, got, err, s.DB(), s.InTransaction(), step)
			}
		}
		if srv.dials != 3 {
			t.Errorf("%d connections, want 3", srv.dials)
		}
	})
}

func TestSessionSaysThatATransactionIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, server := net.Pipe()
		go func() {
			resp.NewReader(server).ReadCommand()
			io.WriteString(server, "+OK\r\n")
			server.Close()
		}()
		dials := 0
		s := &prompt.Session{Dial: func(context.Context) (net.Conn, error) {
			if dials++; dials == 1 {
				return first, nil
			}
			return nil, io.ErrNoProgress
		}}
		defer s.Close()
		if _, err := do(t.Context(), s, "MULTI"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.Connected() {
			t.Error("the end went unnoticed")
		}
		if _, err := do(t.Context(), s, "INCR n"); !errors.Is(err, prompt.ErrTransactionLost) || s.InTransaction() || dials != 1 {
			t.Errorf("got %v after %d dials, want the loss to be said before there is another connection", err, dials)
		}
		if _, err := do(t.Context(), s, "INCR n"); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v, want Dial's error", err)
		}
	})
}

func TestSessionStreamsUntilItIsInterrupted(t *testing.T) {
	for name, sent := range map[string]string{
		"RESP2": "*3\r\n+subscribe\r\n+a\r\n:1\r\n*3\r\n+subscribe\r\n+b\r\n:2\r\n*3\r\n+message\r\n+a\r\n+hi\r\n",
		"RESP3": ">3\r\n+subscribe\r\n+a\r\n:1\r\n>3\r\n+subscribe\r\n+b\r\n:2\r\n>3\r\n+message\r\n+a\r\n+hi\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &server{t: t, lives: [][][2]string{{{"SUBSCRIBE a b", sent}}, {{"PING", "+PONG\r\n"}}}}
				s := &prompt.Session{Dial: srv.dial}
				defer s.Close()
				ctx, cancel := context.WithCancel(t.Context())
				var got []string
				err := s.Do(ctx, [][]byte{[]byte("SUBSCRIBE"), []byte("a"), []byte("b")}, func(v prompt.Value) {
					got = append(got, strings.ReplaceAll(strings.TrimSpace(string(prompt.Raw(v))), "\n", " "))
					if len(got) == 3 {
						cancel()
					}
				})
				if want := []string{"subscribe a 1", "subscribe b 2", "message a hi"}; !errors.Is(err, context.Canceled) || !slices.Equal(got, want) {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
				if got, err := do(t.Context(), s, "PING"); err != nil || !slices.Equal(got, []string{"PONG"}) {
					t.Errorf("then: got %q, %v", got, err)
				}
			})
		})
	}
}

func TestSessionRefusedSubscriptionIsOneReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{t: t, lives: [][][2]string{{
			{"SUBSCRIBE a b", "-NOPERM no\r\n"}, {"MONITOR", "-ERR no\r\n"},
			{"UNSUBSCRIBE a b", ">3\r\n+unsubscribe\r\n+a\r\n:0\r\n>3\r\n+unsubscribe\r\n+b\r\n:0\r\n"},
			{"GET k", ">2\r\n+invalidate\r\n*1\r\n+k\r\n$1\r\nv\r\n"},
		}}}
		var pushed []string
		s := &prompt.Session{Dial: srv.dial, Push: func(v prompt.Value) { pushed = append(pushed, string(prompt.Raw(v))) }}
		defer s.Close()
		if got, err := do(t.Context(), s, "SUBSCRIBE a b"); err != nil || len(got) != 1 {
			t.Errorf("SUBSCRIBE: got %q, %v", got, err)
		}
		if got, err := do(t.Context(), s, "MONITOR"); err != nil || len(got) != 1 {
			t.Errorf("MONITOR: got %q, %v", got, err)
		}
		if got, err := do(t.Context(), s, "UNSUBSCRIBE a b"); err != nil || len(got) != 2 {
			t.Errorf("UNSUBSCRIBE: got %q, %v", got, err)
		}
		if got, err := do(t.Context(), s, "GET k"); err != nil || !slices.Equal(got, []string{"v"}) {
			t.Errorf("GET: got %q, %v", got, err)
		}
		if want := []string{"invalidate\nk\n"}; !slices.Equal(pushed, want) {
			t.Errorf("pushed: got %q, want %q", pushed, want)
		}
	})
}

func TestSessionInterruptsACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{t: t, lives: [][][2]string{{{"BLPOP k 0", ""}}}}
		s := &prompt.Session{Dial: srv.dial}
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if got, err := do(ctx, s, "BLPOP k 0"); !errors.Is(err, context.Canceled) || len(got) != 0 || s.Connected() {
			t.Errorf("got %q, %v, connected %v", got, err, s.Connected())
		}
	})
}
