package entraredis_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
)

func TestSlowSubscriberDelaysNobodyAndGetsTheNewest(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		block := make(chan struct{})
		var slow []entraredis.Token
		var quick atomic.Int64
		s.Subscribe(func(tok entraredis.Token) {
			slow = append(slow, tok)
			<-block
		})
		s.Subscribe(func(entraredis.Token) { quick.Add(1) })
		pass(10 * time.Minute)
		refreshes := s.Status().Refreshes
		if refreshes < 10 || quick.Load() != int64(refreshes) {
			t.Errorf("%d refreshes and %d calls of the quick subscriber, want at least 10 and as many", refreshes, quick.Load())
		}
		newest := mustToken(t, s)
		close(block)
		synctest.Wait()
		if len(slow) != 2 || slow[1] != newest {
			t.Errorf("slow subscriber was called %d times, want 2: the first and the newest", len(slow))
		}
	})
}

// Libraries that compare listeners panic on this one, which holds a func.
type listener struct{ fn func() }

func (l listener) OnNext(entraredis.Token) { l.fn() }

func TestSubscribersNeedNotBeComparable(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var a, b atomic.Int64
		stopA := s.Subscribe(listener{fn: func() { a.Add(1) }}.OnNext)
		s.Subscribe(listener{fn: func() { b.Add(1) }}.OnNext)
		synctest.Wait()
		stopA()
		stopA()
		pass(5 * time.Minute)
		if a.Load() != 1 || b.Load() < 5 {
			t.Errorf("calls %d and %d, want 1 and at least 5", a.Load(), b.Load())
		}
	})
}

func TestSameFunctionSubscribedTwiceIsTwoSubscriptions(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var n atomic.Int64
		fn := func(entraredis.Token) { n.Add(1) }
		stop := s.Subscribe(fn)
		s.Subscribe(fn)
		stop()
		pass(10 * time.Second)
		if n.Load() != 1 {
			t.Errorf("%d calls, want 1", n.Load())
		}
	})
}

func TestLastUnsubscribeLeavesTheSourceRefreshing(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.Subscribe(func(entraredis.Token) {})()
		pass(10 * time.Minute)
		if n := c.count(); n < 10 {
			t.Errorf("%d acquisitions in 10 minutes, want at least 10", n)
		}
		told := make(chan entraredis.Token, 1)
		s.Subscribe(func(tok entraredis.Token) {
			select {
			case told <- tok:
			default:
			}
		})
		pass(time.Minute)
		select {
		case <-told:
		default:
			t.Error("subscriber after the last unsubscribe was told nothing")
		}
	})
}

func TestUnsubscribeAndCloseFromWithinTheCall(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s) // so that no call begins before stop is set
		var own, other atomic.Int64
		var stop func()
		stop = s.Subscribe(func(entraredis.Token) {
			own.Add(1)
			stop()
		})
		s.Subscribe(func(entraredis.Token) {
			if other.Add(1) == 3 {
				s.Close()
			}
		})
		pass(10 * time.Minute)
		if own.Load() != 1 || other.Load() != 3 {
			t.Errorf("calls %d and %d, want 1 and 3", own.Load(), other.Load())
		}
	})
}

func TestSubscribeAfterCloseNeverFires(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		s.Close()
		s.Subscribe(func(entraredis.Token) { t.Error("subscriber called after Close") })()
		pass(10 * time.Minute)
	})
}

// Subscribing and unsubscribing races with refreshes; whoever stays is told.
func TestSubscribersThatStayAreToldAmongThoseThatGo(t *testing.T) {
	c := &scripted{life: time.Second}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					var n atomic.Int64
					stop := s.Subscribe(func(entraredis.Token) { n.Add(1) })
					<-time.After(2500 * time.Millisecond)
					if n.Load() == 0 {
						t.Error("subscriber of 2.5 s was told nothing of tokens that live 1 s")
					}
					stop()
				}
			})
		}
		wg.Wait()
	})
}

func TestTenThousandIdleSubscribersCostNoGoroutine(t *testing.T) {
	c := &scripted{life: time.Hour}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		before := goroutines()
		var told atomic.Int64
		for range 10_000 {
			s.Subscribe(func(entraredis.Token) { told.Add(1) })
		}
		if more := goroutines() - before; more > 0 {
			t.Errorf("10,000 subscribers started %d goroutines, want none", more)
		}
		pass(time.Hour)
		if told.Load() != 10_000 {
			t.Errorf("%d were told, want 10,000", told.Load())
		}
	})
}

func TestUnsubscribedIsNotCalledForATokenThatWaits(t *testing.T) {
	c := &scripted{life: time.Minute}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		block := make(chan struct{})
		var n atomic.Int64
		stop := s.Subscribe(func(entraredis.Token) {
			n.Add(1)
			<-block
		})
		pass(5 * time.Minute) // newer tokens wait behind the first call
		stop()
		close(block)
		synctest.Wait()
		if n.Load() != 1 {
			t.Errorf("%d calls, want none after unsubscribe", n.Load())
		}
	})
}
