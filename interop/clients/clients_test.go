package main

import (
	"strings"
	"testing"
)

// What a client says of itself has to be looked at.
func TestComplaints(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    result
		want string
	}{
		{"fine", result{Done: map[string]int{"commands": 1}}, ""},
		{"nothing done", result{}, "did nothing"},
		{"part not done", result{Done: map[string]int{"commands": 1, "messages": 0}}, "no messages"},
		{"reconnected", result{Done: map[string]int{"commands": 1}, Reconnects: 2}, "connected 2 times again"},
		{"errors", result{Done: map[string]int{"commands": 1}, Failed: 3, Errors: []string{"EOF"}}, "EOF and 2 errors more"},
	} {
		if got := strings.Join(tt.r.complaints(), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSequence(t *testing.T) {
	tally := newTally()
	got := tally.sequence("messages")
	for _, m := range []string{"1", "2", "4", "4"} {
		got(m)
	}
	if tally.r.Failed != 1 || tally.r.Done["messages"] != 4 {
		t.Errorf("got %+v, want the one left out to be seen", tally.r)
	}
}

func TestSummary(t *testing.T) {
	if got := summary(map[string]int{"popped": 2, "commands": 10}); got != "10 commands, 2 popped" {
		t.Errorf("got %q", got)
	}
}
