package main

import (
	"bufio"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRateIgnoresWhatLiesOutside(t *testing.T) {
	l := &load{slices: make([]atomic.Int64, 30)}
	for i, n := range []int64{100, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 100} {
		l.slices[i].Store(n)
	}
	if got, want := l.rate(slice, slice+time.Second), 50.0; got != want {
		t.Errorf("rate = %v, want %v", got, want)
	}
	if got := l.rate(time.Second, time.Second); got != 0 {
		t.Errorf("rate of no time = %v, want 0", got)
	}
	if got := l.rate(2*time.Second, time.Hour); got != 0 {
		t.Errorf("rate past the recording = %v, want 0", got)
	}
}

func TestBlockedCountsCallsThatNeverReturn(t *testing.T) {
	l := &load{flying: make([]atomic.Int64, 3)}
	l.late.Store(2)
	l.flying[0].Store(time.Now().Add(-time.Minute).UnixNano())
	l.flying[1].Store(time.Now().UnixNano())
	if got, want := l.blocked(), int64(3); got != want {
		t.Errorf("blocked = %d, want %d: two that came back late and one that has not come back", got, want)
	}
}

func TestOrder(t *testing.T) {
	var o order
	for _, n := range []int64{1, 2, 4, 4, 3, 5} {
		o.see(n)
	}
	if o.seen != 6 || o.repeated != 2 {
		t.Errorf("seen %d repeated %d, want 6 and 2", o.seen, o.repeated)
	}
}

func TestOutageHappensOnceAndEndsBeforeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, ended := 0, make(chan time.Time, 2)
		start := time.Now()
		o := outage{
			begin:  func() func() { began++; return func() { ended <- time.Now() } },
			length: 6 * time.Second, since: start, latest: start.Add(5 * time.Second),
		}
		o.start()
		o.start()
		if got, want := (<-ended).Sub(start), 5*time.Second; got != want {
			t.Errorf("ended after %v, want %v", got, want)
		}
		o.start()
		synctest.Wait()
		if began != 1 {
			t.Errorf("began %d times, want once", began)
		}
		if from, to := o.times(); from != 0 || to != 5*time.Second {
			t.Errorf("times %v-%v, want 0s-5s", from, to)
		}
	})
}

func TestSentinelReply(t *testing.T) {
	args, err := readCommand(bufio.NewReader(strings.NewReader(
		"*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$6\r\nmaster\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sentinelReply(args, "127.0.0.1", "6379"), "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := readCommand(bufio.NewReader(strings.NewReader("*-1\r\n"))); err == nil {
		t.Error("a negative count is no error")
	}
	if got := sentinelReply([]string{"HELLO", "3"}, "", ""); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("HELLO: got %q, want an error, as a sentinel without RESP3", got)
	}
}
