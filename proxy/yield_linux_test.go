package proxy

import (
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever computes beside a loop takes less and less from it, and is forgotten
// when it has left; clients that send much may take their time.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var takes, busy time.Duration // each yield, and what comes of it
		most, gave := maxLoss, 0
		y := yielder{give: func() { gave++; <-time.After(takes) }}
		turn := func() {
			y.yield(time.Now(), most)
			<-time.After(busy)
			y.weigh(time.Now())
			<-time.After(time.Millisecond) // nothing to do
		}
		yields := func(span time.Duration) (n, turns int) {
			gave = 0
			for end := time.Now().Add(span); time.Now().Before(end); turns++ {
				turn()
			}
			return gave, turns
		}

		takes, busy = 100*time.Microsecond, 50*time.Microsecond
		if n, turns := yields(time.Second); n < turns {
			t.Errorf("beside one client: yielded in %d of %d turns", n, turns)
		}
		takes, busy = 3*time.Millisecond, time.Millisecond
		if n, turns := yields(time.Minute); n < turns {
			t.Errorf("beside many clients: yielded in %d of %d turns", n, turns)
		}
		takes = maxLoss
		turn()
		takes = 3 * time.Millisecond
		if n, turns := yields(time.Second); n < turns {
			t.Errorf("behind one long yield: yielded in %d of %d turns", n, turns)
		}
		takes, busy = 3*time.Millisecond, 50*time.Microsecond
		if n, _ := yields(time.Minute); n < 5 || n > 15 {
			t.Errorf("beside one that computes: yielded %d times in a minute", n)
		}
		takes = 100 * time.Microsecond
		yields(3 * maxHold)
		takes = 3 * time.Millisecond
		for gave = 0; y.until.Before(time.Now()); {
			turn()
		}
		if until := time.Until(y.until); gave != 4 || until != minHold-time.Millisecond {
			t.Errorf("one who comes later keeps it from yielding for %v, behind %d yields", until, gave)
		}
		takes = 100 * time.Microsecond
		yields(3 * maxHold)
		takes, most = 2*time.Millisecond, maxLoneLoss
		if turn(); time.Until(y.until) != minHold-time.Millisecond {
			t.Errorf("behind a single event one long yield keeps it from yielding for %v", time.Until(y.until))
		}
	})
}

// What a loop has come back for is weighed once: when that is done, or, before it
// sleeps, as nothing.
func TestYieldIsWeighed(t *testing.T) {
	l := newLoop()
	l.yielder.give = func() {}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(epoll)
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(ends[0])
	defer syscall.Close(ends[1])
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, ends[0], &syscall.EpollEvent{Events: pollIn}); err != nil {
		t.Fatal(err)
	}
	look := func(came, want int, weighed bool) {
		t.Helper()
		l.came = came
		if n, err := l.look(epoll, l.events[:]); n != want || err != nil {
			t.Fatalf("got %d events, %v, want %d", n, err, want)
		}
		if got := l.yielder.away == 0; got != weighed {
			t.Errorf("behind a turn of %d events, and with %d to come: weighed is %v", came, want, got)
		}
	}
	look(1, 0, true)
	if _, err := syscall.Write(ends[1], []byte{0}); err != nil {
		t.Fatal(err)
	}
	look(1, 1, false)
	look(2, 1, true)
	(&ride{lane: lane{many: true}}).turn(l, clientSock, pollEnd)
	look(1, 1, true)
	l.many = false
	for piped, want := range map[bool]time.Duration{false: maxLoneLoss, true: maxLoss} {
		l.piped = piped
		if look(1, 1, false); l.yielder.most != want {
			t.Errorf("behind one event, pipes %v: bound is %v, want %v", piped, l.yielder.most, want)
		}
	}
}

// With one processor a loop that yields instead of sleeping would let the other
// goroutines wait until it is preempted.
func TestYieldOnOneProcessor(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true} {
		before := runtime.GOMAXPROCS(n)
		l := newLoop()
		runtime.GOMAXPROCS(before)
		if got := l.yielder.give != nil; got != want {
			t.Errorf("with %d: yields is %v", n, got)
		}
		l.yielder.yield(time.Now(), maxLoss)
	}
}
