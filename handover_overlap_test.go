package entraredis

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestOverlap(t *testing.T) {
	tests := []struct {
		name             string
		a, before, after string
		seen             int
		err              error
	}{
		{"nothing came between the fences", "", "", "", 0, nil},
		{"nothing came between the fences, older messages", "abc", "xyzabc", "", 0, nil},
		{"all of it was seen", "abcd", "ab", "cd", 2, nil},
		{"none of it was seen", "ab", "zab", "cd", 0, nil},
		{"one of it was seen", "abc", "ab", "cd", 1, nil},
		{"the other stream is older", "xyzabc", "ab", "cd", 1, nil},
		{"nothing to compare by", "", "ab", "cd", 0, errAlike},
		{"all are the same", "aaa", "aaaaa", "aa", 0, errAlike},
		{"a period", "abab", "abab", "ab", 0, errAlike},
		{"the same up to one", "aaab", "aaa", "baa", 1, nil},
		{"another message in between", "axb", "a", "b", 0, errElse},
		{"another last message", "abx", "xyzab", "", 0, errElse},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen, err := overlap(sums(tt.a), sums(tt.before), sums(tt.after))
			if seen != tt.seen || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v, want %d, %v", seen, err, tt.seen, tt.err)
			}
		})
	}
}

func sums(messages string) (out []uint64) {
	for _, c := range messages {
		out = append(out, uint64(c))
	}
	return out
}

// Wherever two windows on one stream begin, and however much alike its messages
// are: what is found is the truth, or nothing is.
func TestOverlapIsNeverWrong(t *testing.T) {
	found := 0
	for range 20_000 {
		stream := make([]uint64, 2+rand.IntN(40))
		letters := 1 + rand.IntN(4)
		for i := range stream {
			stream[i] = uint64(rand.IntN(letters))
		}
		first := rand.IntN(len(stream))
		fence, end := first, len(stream) // of the messages behind the first PING, and before the last
		at := fence + rand.IntN(end-fence+1)
		begin, b := rand.IntN(at+1), rand.IntN(fence+1)
		seen, err := overlap(stream[begin:at], stream[b:fence], stream[fence:end])
		switch {
		case errors.Is(err, errElse):
			t.Fatalf("nothing fits: %v from %d to %d, %d, %d", stream, begin, at, b, fence)
		case err == nil && seen != at-fence:
			t.Fatalf("got %d, want %d: %v from %d, %d, %d", seen, at-fence, stream, begin, b, fence)
		case err == nil:
			found++
		}
	}
	if found < 1000 {
		t.Errorf("found only %d: this proves nothing", found)
	}
}
