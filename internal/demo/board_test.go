package demo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/entraredis/entraredis"
)

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "expired", 0: "expired", 1540 * time.Millisecond: "1.5s", 90 * time.Second: "90.0s", 59 * time.Minute: "59m0s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestCounterFindsLostAndRepeatedCommands(t *testing.T) {
	lost := errors.New("connection lost")
	for _, tc := range []struct {
		name    string
		replies []int64 // 0 is an error
		want    int     // errors
	}{
		{"steady", []int64{5, 6, 7}, 0},
		{"one ran twice", []int64{5, 6, 8, 9}, 1},
		{"one was lost", []int64{5, 6, 6, 7}, 1},
		{"an error is one error, whatever Redis did", []int64{5, 0, 7, 8}, 1},
	} {
		var c counter
		got := 0
		for _, reply := range tc.replies {
			err := error(nil)
			if reply == 0 {
				err = lost
			}
			if c.check(reply, 1, err) != nil {
				got++
			}
		}
		if got != tc.want {
			t.Errorf("%s: got %d errors, want %d", tc.name, got, tc.want)
		}
	}
}

func TestWatchTellsDropsFromCloses(t *testing.T) {
	var tl tally
	far := make(chan net.Conn, 3)
	dial := tl.watch(func(context.Context, string, string) (net.Conn, error) {
		near, other := net.Pipe()
		far <- other
		return near, nil
	})
	open := func() net.Conn {
		c, err := dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	closed, dropped, slow := open(), open(), open()
	closed.Close()
	closed.Close()
	closed.Read(make([]byte, 1))
	<-far
	(<-far).Close()
	dropped.Read(make([]byte, 1))
	dropped.Write([]byte("x"))
	dropped.Close()
	slow.SetReadDeadline(time.Unix(1, 0))
	slow.Read(make([]byte, 1))
	if o, d, n := tl.opened.Load(), tl.dropped.Load(), tl.open.Load(); o != 3 || d != 1 || n != 1 {
		t.Errorf("got %d opened, %d dropped, %d open, want 3, 1, 1", o, d, n)
	}
}

// boardForTest has one row of ours and the plain client, ten seconds in.
func boardForTest() (*board, time.Time) {
	start := time.Unix(1_800_000_000, 0)
	ours := &row{name: "go-redis", kind: "client-secret", dialer: &entraredis.Dialer{}, expires: func() time.Time { return start.Add(13 * time.Second) }}
	plain := &row{name: "plain go-redis", kind: "client-secret", expires: func() time.Time { return start.Add(5 * time.Second) }}
	b := newBoard([]*row{ours, plain}, Options{Duration: 30 * time.Second, TokenLifetime: 5 * time.Second}, start)
	ours.commands.Store(12_000)
	ours.opened.Store(4)
	ours.open.Store(4)
	plain.commands.Store(3_000)
	plain.failed.Store(8)
	plain.opened.Store(12)
	plain.dropped.Store(8)
	return b, start.Add(10 * time.Second)
}

func TestOneLine(t *testing.T) {
	b, now := boardForTest()
	want := "  10s  ours: 12,000 commands (1200/s), 0 failed, 4 connections, 0 dropped, 0 re-AUTHs, token 3.0s" +
		" | plain: 3,000 commands, 8 failed, 8 dropped, token expired"
	if got := b.oneLine(now); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRateIsThatOfTheLastSecond(t *testing.T) {
	b, now := boardForTest()
	b.read(now)
	b.rows[0].commands.Add(50)
	b.read(now.Add(500 * time.Millisecond))
	b.rows[0].commands.Add(250)
	if got := b.read(now.Add(time.Second))[0].rate; got != 300 {
		t.Errorf("got %v/s, want 300", got)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	b, now := boardForTest()
	for _, width := range []int{80, 100, 130} {
		m := tableModel{board: b, now: now, lines: b.read(now), width: width}
		for line := range strings.Lines(m.render()) {
			if w := lipgloss.Width(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("width %d: a line is %d wide: %s", width, w, line)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	good := Summary{IdleAlive: 10, IdleSize: 10}
	good.Ours.Commands, good.Plain.Dropped = 10_000, 4
	if err := good.Err(); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, spoil := range map[string]func(*Summary){
		"a command failed":             func(s *Summary) { s.Ours.Failed = 1 },
		"a connection dropped":         func(s *Summary) { s.Ours.Dropped = 1 },
		"an idle connection died":      func(s *Summary) { s.IdleAlive = 9 },
		"nothing ran":                  func(s *Summary) { s.Ours.Commands = 0 },
		"the plain client was not cut": func(s *Summary) { s.Plain.Dropped = 0 },
	} {
		s := good
		spoil(&s)
		if s.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSummaryText(t *testing.T) {
	b, now := boardForTest()
	s := b.summary(now, idleSize)
	s.TokensIssued = 9
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10s, 2 token lifetimes of 5s, 9 tokens issued",
		"through entraredis        12,000         0            4        0         0\n",
		"plain go-redis             3,000         8           12        8         -\n",
		"10 of 10 connections of the idle pool still answer after 10s unused",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &out)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		duration, lifetime time.Duration
		option             string
	}{
		{30 * time.Second, 5 * time.Second, ""},
		{4 * time.Second, 2 * time.Second, ""},
		{10 * time.Second, time.Second, "token-lifetime"},
		{100 * time.Hour, 25 * time.Hour, "token-lifetime"},
		{9 * time.Second, 5 * time.Second, "duration"},
	} {
		err := Options{Duration: tc.duration, TokenLifetime: tc.lifetime}.Validate()
		got := ""
		if wrong := new(OptionError); errors.As(err, &wrong) {
			got = wrong.Option
		}
		if got != tc.option {
			t.Errorf("%v, %v: got %v, want the option %q", tc.duration, tc.lifetime, err, tc.option)
		}
	}
}
