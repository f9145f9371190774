package entraredis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
)

// What issuers do when they fail, and how a credential shows it.
var issuerFaults = map[string]func(ctx context.Context, over <-chan struct{}) error{
	"503": func(context.Context, <-chan struct{}) error {
		return &azcore.ResponseError{StatusCode: 503, ErrorCode: "temporarily_unavailable"}
	},
	"refused": func(context.Context, <-chan struct{}) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	},
	"time-out": func(ctx context.Context, _ <-chan struct{}) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
			return context.DeadlineExceeded
		}
	},
	"hang": func(ctx context.Context, _ <-chan struct{}) error {
		<-ctx.Done()
		return ctx.Err()
	},
	"hang that ignores its context": func(_ context.Context, over <-chan struct{}) error {
		<-over
		return errors.New("connection reset")
	},
}

// The headline failure of other libraries: the issuer fails when a token of
// 20 seconds is due for refresh, and clients are cut off although the token
// is valid.
func TestIssuerBlipAtRefreshIsNotSeenByCallers(t *testing.T) {
	for name, fault := range issuerFaults {
		for _, outage := range []time.Duration{1500 * time.Millisecond, 4 * time.Second, 6 * time.Second} {
			t.Run(fmt.Sprintf("%s for %v", name, outage), func(t *testing.T) {
				for range 8 { // the instant of the refresh is random
					blip(t, fault, outage)
				}
			})
		}
	}
}

func blip(t *testing.T, fault func(context.Context, <-chan struct{}) error, outage time.Duration) {
	const life = 20 * time.Second
	var begin sync.Once
	var ends time.Time
	var over chan struct{}
	var issued time.Time
	c := &scripted{}
	c.script = func(ctx context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 {
			issued = time.Now()
			return mint(issued, life, nil), nil
		}
		begin.Do(func() {
			// The token is good for 20 s; an outage longer than that cannot be bridged.
			d := min(outage, time.Until(issued.Add(19*time.Second)))
			ends = time.Now().Add(d)
			time.AfterFunc(d, func() { close(over) })
		})
		if time.Now().Before(ends) {
			return azcore.AccessToken{}, fault(ctx, over)
		}
		return mint(time.Now(), life, nil), nil
	}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		over = make(chan struct{})
		mustToken(t, s)
		var wg sync.WaitGroup
		stop := time.Now().Add(45 * time.Second)
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(stop) {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					start := time.Now()
					tok, err := s.Token(ctx)
					cancel()
					if err != nil || time.Since(start) != 0 || !tok.Valid() {
						t.Errorf("Token = valid %v, %v after %v, want a valid one at once", tok.Valid(), err, time.Since(start))
						return
					}
					<-time.After(50 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if st := s.Status(); st.Failures == 0 || st.Refreshes < 3 {
			t.Errorf("failures %d, refreshes %d: want the outage to be seen, and refreshing to go on", st.Failures, st.Refreshes)
		}
	})
}

func TestErrorWhileValidTokenIsHeldStaysInTheBackground(t *testing.T) {
	refused := &azcore.ResponseError{StatusCode: 401}
	var healthy atomic.Bool
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 || healthy.Load() {
			return mint(time.Now(), time.Hour, nil), nil
		}
		return azcore.AccessToken{}, refused
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		first := mustToken(t, s)
		pass(time.Hour - time.Second)
		if got := mustToken(t, s); got.Password() != first.Password() {
			t.Error("token before expiry is not the first one")
		}
		if st := s.Status(); st.LastError == nil || st.Failures < 5 || st.Failed[entraredis.KindIssuerRefused] != st.Failures {
			t.Errorf("Status = %+v, want the failures to be visible", st)
		}
		pass(time.Minute)
		_, err := s.Token(t.Context())
		te, ok := errors.AsType[*entraredis.TokenError](err)
		if !ok || te.Kind != entraredis.KindIssuerRefused || !errors.Is(err, refused) {
			t.Errorf("Token after expiry: %v, want a TokenError with the cause", err)
		}
		if tok, ok := s.Current(); !ok || tok.Valid() {
			t.Errorf("current after expiry = valid %v, %v; want the expired token", tok.Valid(), ok)
		}
		healthy.Store(true)
		pass(31 * time.Second)
		mustToken(t, s)
	})
}

func TestRetriesNeverExhaust(t *testing.T) {
	var healthy atomic.Bool
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 || healthy.Load() {
			return mint(time.Now(), time.Hour, nil), nil
		}
		return azcore.AccessToken{}, errors.New("dial tcp: connection refused")
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(13 * time.Hour) // nobody asks meanwhile
		n := c.count()
		if most := 13 * 3600 / 15; n < 12*120 || n > most {
			t.Errorf("%d acquisitions in 12 hours of failure, want between %d and %d", n, 12*120, most)
		}
		healthy.Store(true)
		pass(31 * time.Second)
		mustToken(t, s)
	})
}

func TestOneFailureBeforeEachRefreshDoesNotAddUp(t *testing.T) {
	var flip atomic.Bool
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n > 0 && flip.CompareAndSwap(false, true) {
			return azcore.AccessToken{}, errors.New("EOF")
		}
		flip.Store(false)
		return mint(time.Now(), 10*time.Minute, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		for range 24 * 60 {
			pass(time.Minute)
			mustToken(t, s)
		}
		if st := s.Status(); st.Failures < 100 || st.Refreshes < 100 {
			t.Errorf("failures %d, refreshes %d, want over 100 of each", st.Failures, st.Refreshes)
		}
	})
}

func TestHungCredentialThatIgnoresItsContextIsAbandoned(t *testing.T) {
	var release chan struct{}
	var healthy atomic.Bool
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n > 0 && !healthy.Load() {
			<-release
			return azcore.AccessToken{}, errors.New("reset")
		}
		return mint(time.Now(), time.Hour, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		release = make(chan struct{})
		mustToken(t, s)
		pass(time.Hour - time.Second)
		mustToken(t, s)
		pass(10 * time.Minute)
		if n := c.count(); n != 1+8 {
			t.Errorf("%d calls, want the first and 8 that hang", n)
		}
		_, err := s.Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), "8 earlier calls") {
			t.Errorf("Token: %v, want the 8 abandoned calls named", err)
		}
		healthy.Store(true)
		close(release)
		pass(31 * time.Second)
		mustToken(t, s)
		if st := s.Status(); st.LastError != nil {
			t.Errorf("LastError = %v after recovery", st.LastError)
		}
	})
}

func TestLateTokenOfAnAbandonedCallIsTaken(t *testing.T) {
	var release chan struct{}
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		switch n {
		case 0:
			return mint(time.Now(), time.Hour, nil), nil
		case 1:
			<-release
			return mint(time.Now(), time.Hour, nil), nil
		}
		return azcore.AccessToken{}, errors.New("EOF")
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		release = make(chan struct{})
		told := make(chan entraredis.Token, 1)
		s.Subscribe(func(t entraredis.Token) { told <- t })
		mustTokenSoon(t, s)
		<-told
		pass(time.Hour - time.Second)
		if st := s.Status(); st.Failures == 0 {
			t.Fatal("the hanging call was not given up")
		}
		close(release)
		synctest.Wait()
		second := <-told
		if got := mustToken(t, s); got.Password() != second.Password() || got.ExpiresOn.Before(time.Now().Add(59*time.Minute)) {
			t.Error("the late token is not the one held")
		}
	})
}

func TestPanickingCredentialIsAnError(t *testing.T) {
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 {
			panic("index out of range")
		}
		return mint(time.Now(), time.Hour, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		_, err := s.Token(t.Context())
		if _, ok := errors.AsType[*entraredis.TokenError](err); !ok || !strings.Contains(err.Error(), "panicked: index") {
			t.Errorf("Token: %v, want a TokenError that tells of the panic", err)
		}
		pass(2 * time.Second)
		mustToken(t, s)
	})
}

func TestFirstFailureReleasesAllWaiters(t *testing.T) {
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		<-time.After(time.Second)
		return azcore.AccessToken{}, errors.New("no such host")
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := s.Token(t.Context())
				te, ok := errors.AsType[*entraredis.TokenError](err)
				if !ok || te.Kind != entraredis.KindIssuerUnreachable || te.Scope != entraredis.DefaultScope {
					t.Errorf("Token: %v, want an unreachable issuer", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != time.Second {
			t.Errorf("waiters were released after %v, want with the first failure, after 1s", d)
		}
		if n := c.count(); n != 1 {
			t.Errorf("%d acquisitions for 100 callers, want 1", n)
		}
	})
}

// A crowd that keeps asking must not hammer an issuer that refuses.
func TestCallersDoNotHammerARefusingIssuer(t *testing.T) {
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		return azcore.AccessToken{}, &azcore.ResponseError{StatusCode: 401}
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		for range 10_000 {
			if _, err := s.Token(t.Context()); err == nil {
				t.Fatal("Token = nil error, want one")
			}
			pass(time.Millisecond)
		}
		if n := c.count(); n < 5 || n > 25 {
			t.Errorf("%d acquisitions in 10 s, want about one a second", n)
		}
	})
}

// After an outage has driven the pauses up, a caller finds the issuer healthy.
// The loop goes by the new token at once, and the next failure is retried
// quickly again.
func TestOutageLeavesNoTrace(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		if failing.Load() {
			return azcore.AccessToken{}, errors.New("EOF")
		}
		return mint(time.Now(), 10*time.Second, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.Token(t.Context())
		for time.Until(s.Status().NextAttempt) < 12*time.Second {
			pass(time.Second)
		}
		failing.Store(false)
		pass(time.Second) // the last failure is no longer the answer
		mustToken(t, s)
		pass(9 * time.Second) // nobody asks meanwhile
		if st := s.Status(); st.Refreshes != 2 {
			t.Errorf("%d refreshes, want 2: the loop slept on by the pause of the outage", st.Refreshes)
		}
		failing.Store(true)
		before := s.Status().Failures
		for s.Status().Failures == before {
			pass(10 * time.Millisecond)
		}
		if wait := time.Until(s.Status().NextAttempt); wait > 100*time.Millisecond {
			t.Errorf("first retry of a new outage in %v, want within 100ms", wait)
		}
	})
}

// A caller that comes just after expiry meets an attempt whose time was cut
// for the sake of the token that has ended since. Its failure is not the end.
func TestCallerOutlivesAnAttemptThatWasCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := &scripted{script: func(ctx context.Context, n int) (azcore.AccessToken, error) {
			if at := time.Since(begin); n > 0 && at < 20*time.Second {
				<-ctx.Done() // hangs
				return azcore.AccessToken{}, ctx.Err()
			}
			return mint(time.Now(), 20*time.Second, nil), nil
		}}
		s, err := entraredis.New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		first := mustToken(t, s)
		pass(time.Until(first.ExpiresOn) + time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		tok, err := s.Token(ctx)
		if err != nil || !tok.Valid() {
			t.Errorf("got %v, %v, want the next attempt's token", tok, err)
		}
	})
}
