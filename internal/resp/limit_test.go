package resp_test

import (
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

type scanner interface {
	Next(b []byte) (n int, done bool, err error)
	Ahead() int64
}

// What is announced is never more than what comes: something that is just as
// large as a limit must not exceed it, wherever it is cut.
func TestAheadIsNotTooMuch(t *testing.T) {
	check := func(raw string, cut int, s scanner) {
		t.Helper()
		size := 0
		for _, part := range []string{raw[:cut], raw[cut:]} {
			for part != "" {
				n, done, err := s.Next([]byte(part))
				if err != nil {
					t.Fatalf("%q cut at %d: %v", raw, cut, err)
				}
				size, part = size+n, part[n:]
				switch ahead := int(s.Ahead()); {
				case done && ahead != 0:
					t.Errorf("%q: %d bytes ahead behind its end", raw, ahead)
				case done:
					size = 0
				case size+ahead > len(raw):
					t.Errorf("%q cut at %d: %d have come and %d are ahead", raw, cut, size, ahead)
				}
			}
		}
	}
	for _, f := range frames {
		for cut := range f.raw {
			check(f.raw, cut, &resp.Replies{})
		}
	}
	for _, c := range commands {
		for cut := range c.raw {
			check(c.raw, cut, &resp.Requests{})
		}
	}
}

func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		s    scanner
		raw  string
		want int64
	}{
		{&resp.Requests{}, "", 0},
		{&resp.Requests{}, "*1", 0},
		{&resp.Requests{}, "*1000\r\n", 6000},
		{&resp.Requests{}, "*2\r\n$3\r\nGET\r\n$1000\r\n", 1002},
		{&resp.Requests{}, "*3\r\n$3\r\nSET\r\n$5\r\nab", 11},
		{&resp.Requests{}, "*3\r\n$3\r\nSET\r\n$5", 6},
		{&resp.Requests{}, "GET k", 0},
		{&resp.Replies{}, "", 0},
		{&resp.Replies{}, "$1000\r\n", 1002},
		{&resp.Replies{}, "$1000\r\nabc", 999},
		{&resp.Replies{}, "$3\r\nabc", 2},
		{&resp.Replies{}, "$3\r\nabc\r", 1},
		{&resp.Replies{}, "+OK", 2},
		{&resp.Replies{}, "+OK\r", 1},
		{&resp.Replies{}, "*1000\r\n", 3000},
		{&resp.Replies{}, "*2\r\n%10\r\n", 63},
		{&resp.Replies{}, ">2\r\n$7\r\nmessage\r\n$500\r\n", 502},
		{&resp.Replies{}, "*?\r\n", 3},
		{&resp.Replies{}, "*?\r\n$10\r\n", 12},
	} {
		if _, _, err := tt.s.Next([]byte(tt.raw)); err != nil {
			t.Fatal(err)
		}
		if got := tt.s.Ahead(); got != tt.want {
			t.Errorf("%q: got %d, want %d", tt.raw, got, tt.want)
		}
	}
}

func TestReaderRefusesWhatIsAnnounced(t *testing.T) {
	for _, raw := range []string{"*1\r\n$100\r\n", "*1000\r\n", "*1\r\n$10\r\n0123456789\r\n"} {
		r := resp.NewReader(strings.NewReader(raw))
		r.Limit = 19
		if _, err := r.ReadCommand(); err != resp.ErrTooLarge {
			t.Errorf("%q: got %v", raw, err)
		}
	}
	r := resp.NewReader(strings.NewReader("*1\r\n$10\r\n0123456789\r\n"))
	r.Limit = 21
	if _, err := r.ReadCommand(); err != nil {
		t.Error(err)
	}
}
