package entraredis

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newGate() (g *gate, deadline func() time.Time, closed chan struct{}) {
	var set atomic.Pointer[time.Time]
	set.Store(&time.Time{})
	closed = make(chan struct{})
	return &gate{set: func(t time.Time) error { set.Store(&t); return nil }, closed: closed}, func() time.Time { return *set.Load() }, closed
}

// A call of the client's that does not heed its deadline keeps the gate, and
// its deadline is put back.
func TestSeizeThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, deadline, closed := newGate()
		clients := time.Now().Add(time.Hour)
		g.setDeadline(clients)
		g.begin()
		start := time.Now()
		if _, err := g.seize(start.Add(time.Second), true); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if !deadline().Equal(clients) {
			t.Errorf("the deadline is %v, want the client's", deadline())
		}
		time.AfterFunc(time.Second, func() { close(closed) })
		if _, err := g.seize(start.Add(time.Hour), false); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v of a closed connection", err)
		}
		g.end()
		if err := g.begin(); err != nil {
			t.Errorf("the client is locked out: %v", err)
		}
	})
}

// Who is there already is waited for, be it the client or one of ours; and
// while we wait the client does not come in again.
func TestSeizeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, deadline, _ := newGate()
		end, _ := g.tryOwn(time.Now().Add(time.Minute))
		time.AfterFunc(time.Second, end)
		start := time.Now()
		end, err := g.seize(start.Add(time.Hour), true)
		if err != nil || time.Since(start) != time.Second || !deadline().Equal(start.Add(time.Hour)) {
			t.Errorf("behind ours: got %v after %v, deadline %v", err, time.Since(start), deadline())
		}
		end()

		g.begin()
		calls := make(chan int, 10)
		go func() {
			for i := range 3 {
				if i > 0 {
					g.begin()
				}
				calls <- i
				if i == 0 {
					for deadline().IsZero() {
						<-time.After(time.Millisecond)
					}
				}
				g.end()
			}
		}()
		synctest.Wait()
		end, err = g.seize(time.Now().Add(time.Hour), true)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(calls); n != 1 {
			t.Errorf("the client has made %d calls, want that which ended", n)
		}
		end()
		synctest.Wait()
		if n := len(calls); n != 3 || !deadline().IsZero() {
			t.Errorf("behind ours: %d calls of 3, deadline %v", n, deadline())
		}
	})
}
