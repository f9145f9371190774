package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

// Who gives up at the moment at which its turn comes gives it back.
func TestATurnThatComesTooLateIsGivenBack(t *testing.T) {
	u := newUpstreams(&Proxy{Dialer: &entraredis.Dialer{}, MaxDials: 1})
	busy, err := u.enter(t.Context(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &waiter{turn: make(chan turn, 1)}
	u.queue = append(u.queue, w)
	u.leave(busy, reached, nil) // w's turn has come
	if err := u.giveUp(w, context.Canceled); err != context.Canceled || u.dialing != 0 {
		t.Errorf("got %v, %d dials under way, want none", err, u.dialing)
	}
	// The same when it was sent away.
	if busy, err = u.enter(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	u.queue = append(u.queue, w)
	u.close()
	if u.giveUp(w, context.Canceled); u.dialing != 1 {
		t.Errorf("got %d dials under way, want the first", u.dialing)
	}
	if _, err := u.enter(t.Context(), 0, nil); err != errDraining {
		t.Errorf("closed and busy: got %v", err)
	}
	u.leave(busy, reached, nil)
	if _, err := u.enter(t.Context(), 0, nil); err != nil {
		t.Errorf("closed and free: got %v, want a turn", err)
	}
}

func TestWhoLeavesTheQueue(t *testing.T) {
	u := newUpstreams(&Proxy{Dialer: &entraredis.Dialer{}, MaxDials: 1})
	if _, err := u.enter(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := u.enter(ctx, 0, func() <-chan struct{} { cancel(); return nil })
	if err != context.Canceled || len(u.queue) != 0 {
		t.Errorf("got %v, %d in the queue", err, len(u.queue))
	}
}

// Dials that began together count as one failure, and a success in between
// ends the pauses.
func TestFailuresThatBeganTogether(t *testing.T) {
	u := newUpstreams(&Proxy{Dialer: &entraredis.Dialer{}})
	refused := errors.New("refused")
	var turns []turn
	for range 3 {
		tu, err := u.enter(t.Context(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, tu)
	}
	u.leave(turns[0], unreached, refused)
	u.leave(turns[1], unreached, refused)
	if u.failures != 1 || u.mayDial() {
		t.Errorf("got %d failures, may dial: %v", u.failures, u.mayDial())
	}
	u.leave(turns[2], reached, nil)
	if u.failures != 0 || !u.mayDial() || u.dialing != 0 {
		t.Errorf("got %d failures, %d dials, may dial: %v", u.failures, u.dialing, u.mayDial())
	}
}

func TestReachable(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused := func(k entraredis.Kind) error { return &entraredis.AuthError{Kind: k} }
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want reach
	}{
		{t.Context(), nil, reached},
		{t.Context(), refused(entraredis.KindUnreachable), unreached},
		{t.Context(), refused(entraredis.KindAuthTimeout), unreached},
		{t.Context(), refused(entraredis.KindMaxClients), unreached},
		{t.Context(), refused(entraredis.KindNotAssigned), reached},
		{t.Context(), refused(entraredis.KindTLSName), reached},
		{gone, refused(entraredis.KindUnreachable), unknown},
		{t.Context(), &entraredis.TokenError{Kind: entraredis.KindIssuerUnreachable}, unknown},
	} {
		if got := reachable(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestBackOffGrowsToItsBound(t *testing.T) {
	for n, most := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 6: 2 * time.Second, 1000: 2 * time.Second} {
		for range 50 {
			if got := backOff(n, minBackOff, maxBackOff); got < most/2 || got > most {
				t.Errorf("%d: got %v, want %v to %v", n, got, most/2, most)
			}
		}
	}
}
