package main

import (
	"strings"
	"testing"
)

func TestSequence(t *testing.T) {
	tests := []struct {
		name, payloads string
		sent           int64
		want           sequence // without what it keeps for itself
		lost           int64
	}{
		{"in order", "1 2 3", 3, sequence{seen: 3}, 0},
		{"nothing", "", 0, sequence{}, 0},
		{"first lost", "2 3", 3, sequence{seen: 2}, 1},
		{"last lost", "1 2", 3, sequence{seen: 2}, 1},
		{"some lost", "1 4", 5, sequence{seen: 2}, 3},
		{"repeated", "1 2 2 3 1", 3, sequence{seen: 3, repeated: 2}, 0},
		{"out of order", "1 3 2 4", 4, sequence{seen: 4, reordered: 1}, 0},
		{"late and again", "2 1 1", 2, sequence{seen: 2, reordered: 1, repeated: 1}, 0},
		{"foreign", "1 OK 0 2", 2, sequence{seen: 2, strange: 2}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q sequence
			for _, p := range strings.Fields(tt.payloads) {
				q.see(p)
			}
			got := [...]int64{q.seen, q.repeated, q.reordered, q.strange, q.lost(tt.sent)}
			want := [...]int64{tt.want.seen, tt.want.repeated, tt.want.reordered, tt.want.strange, tt.lost}
			if got != want {
				t.Errorf("seen, repeated, reordered, strange, lost = %v, want %v", got, want)
			}
		})
	}
}

func TestDeliveries(t *testing.T) {
	tests := []struct {
		name, values         string
		sent, lost, repeated int64
	}{
		{"each once", "2 1 3", 3, 0, 0},
		{"lost", "1 3", 4, 2, 0},
		{"repeated", "1 1 1 2", 2, 0, 2},
		{"never sent", "1 2 9", 2, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := deliveries{times: map[string]int64{}}
			for _, v := range strings.Fields(tt.values) {
				d.see(v)
			}
			if lost, repeated := d.of(tt.sent); lost != tt.lost || repeated != tt.repeated {
				t.Errorf("lost, repeated = %d, %d, want %d, %d", lost, repeated, tt.lost, tt.repeated)
			}
		})
	}
}
