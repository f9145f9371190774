package entraredis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
)

// mustTokenSoon is a Token call that may wait.
func mustTokenSoon(t *testing.T, s *entraredis.Source) entraredis.Token {
	t.Helper()
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return tok
}

// The type go-redis wants for Options.CredentialsProviderContext.
var _ func(context.Context) (string, string, error) = (*entraredis.Source)(nil).Credentials

func TestNewDoesNothingUntilAsked(t *testing.T) {
	c := &scripted{life: time.Hour}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		pass(2 * time.Hour)
		if n := c.count(); n != 0 {
			t.Errorf("%d acquisitions before the first use, want 0", n)
		}
		if _, ok := s.Current(); ok {
			t.Error("current = ok before the first token")
		}
	})
}

func TestConcurrentFirstCallersShareOneAcquisition(t *testing.T) {
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		<-time.After(3 * time.Second)
		return mint(time.Now(), time.Hour, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				user, pass, err := s.Credentials(t.Context())
				if err != nil || user != oid || pass == "" {
					t.Errorf("Credentials = %q, %d bytes, %v", user, len(pass), err)
				}
			})
		}
		wg.Wait()
		if n := c.count(); n != 1 {
			t.Errorf("%d acquisitions, want 1", n)
		}
	})
}

func TestWaiterThatLeavesDisturbsNobody(t *testing.T) {
	c := &scripted{script: func(ctx context.Context, n int) (azcore.AccessToken, error) {
		select {
		case <-time.After(5 * time.Second):
			return mint(time.Now(), time.Hour, nil), nil
		case <-ctx.Done():
			return azcore.AccessToken{}, ctx.Err()
		}
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			_, err := s.Token(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("Token with 1 s = %v after %v", err, time.Since(start))
			}
		})
		wg.Go(func() { mustTokenSoon(t, s) })
		wg.Wait()
		if n := c.count(); n != 1 {
			t.Errorf("%d acquisitions, want 1", n)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Token(ended); err != nil {
			t.Errorf("Token with an ended context and a valid token held: %v", err)
		}
	})
}

func TestWaiterWithoutTokenIsToldTheLastFailure(t *testing.T) {
	cause := errors.New("no such host")
	c := &scripted{script: func(ctx context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 {
			return azcore.AccessToken{}, cause
		}
		<-ctx.Done()
		return azcore.AccessToken{}, ctx.Err()
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.Token(t.Context())
		pass(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cause) {
			t.Errorf("Token: %v, want deadline and %v", err, cause)
		}
	})
}

func TestRequestTimeoutBoundsTheFirstAcquisition(t *testing.T) {
	c := &scripted{script: func(ctx context.Context, n int) (azcore.AccessToken, error) {
		<-ctx.Done()
		return azcore.AccessToken{}, ctx.Err()
	}}
	inBubble(t, c, &entraredis.Options{RequestTimeout: 7 * time.Second}, func(t *testing.T, s *entraredis.Source) {
		start := time.Now()
		_, err := s.Token(t.Context())
		if time.Since(start) != 7*time.Second {
			t.Errorf("Token took %v, want 7s", time.Since(start))
		}
		if te, ok := errors.AsType[*entraredis.TokenError](err); !ok || te.Kind != entraredis.KindIssuerUnreachable {
			t.Errorf("Token: %v, want an unreachable issuer", err)
		}
	})
}

func TestCloseReleasesWaitersAndEndsEverything(t *testing.T) {
	c := &scripted{script: func(ctx context.Context, n int) (azcore.AccessToken, error) {
		<-ctx.Done()
		return azcore.AccessToken{}, ctx.Err()
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := s.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
					t.Errorf("Token of a waiter: %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		s.Close()
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
			t.Errorf("Token after Close: %v, want ErrClosed", err)
		}
	})
}

func TestTokenAfterCloseIsRefusedThoughOneIsHeld(t *testing.T) {
	c := &scripted{life: time.Hour}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		held := mustToken(t, s)
		s.Close()
		if _, err := s.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
			t.Errorf("Token after Close: %v, want ErrClosed", err)
		}
		if got, ok := s.Current(); !ok || got != held {
			t.Error("current after Close is not the token held")
		}
		pass(2 * time.Hour)
		if n := c.count(); n != 1 {
			t.Errorf("%d acquisitions, want none after Close", n)
		}
	})
}

func TestCloseBeforeFirstUse(t *testing.T) {
	c := &scripted{life: time.Hour}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.Close()
		s.Subscribe(func(entraredis.Token) { t.Error("subscriber called") })()
		if _, err := s.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
			t.Errorf("Token: %v, want ErrClosed", err)
		}
		if n := c.count(); n != 0 {
			t.Errorf("%d acquisitions, want 0", n)
		}
	})
}

func TestStatusFollowsTheSource(t *testing.T) {
	c := &scripted{life: time.Hour}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		if st := s.Status(); !reflect.DeepEqual(st, entraredis.Status{}) {
			t.Errorf("Status before the first use = %+v, want zero", st)
		}
		tok := mustToken(t, s)
		st := s.Status()
		if st.Username != oid || !st.ExpiresOn.Equal(tok.ExpiresOn) || st.Refreshes != 1 || !st.LastRefresh.Equal(time.Now()) {
			t.Errorf("Status = %+v", st)
		}
		if early, late := tok.ExpiresOn.Add(-5*time.Minute), tok.ExpiresOn.Add(-2*time.Minute); st.NextAttempt.Before(early) || st.NextAttempt.After(late) {
			t.Errorf("NextAttempt = %v, want between %v and %v", st.NextAttempt, early, late)
		}
		pass(time.Until(st.NextAttempt))
		if n := c.count(); n != 2 || !c.at(1).Equal(st.NextAttempt) {
			t.Errorf("%d acquisitions, want the second at NextAttempt", n)
		}
	})
}

func TestUsernameThatChangesIsTakenAndLogged(t *testing.T) {
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		return mint(time.Now(), time.Hour, func(m map[string]any) {
			if n > 0 {
				m["oid"] = "another"
			}
		}), nil
	}}
	var log bytes.Buffer
	o := &entraredis.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	inBubble(t, c, o, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(time.Hour)
		tok := mustToken(t, s)
		if tok.Username != "another" {
			t.Errorf("Username = %q, want that of the new token", tok.Username)
		}
		if !strings.Contains(log.String(), "username of the access token changed") {
			t.Errorf("log does not tell of the change:\n%s", &log)
		}
		if strings.Contains(log.String(), "eyJ") {
			t.Error("log holds a token")
		}
	})
}

func TestEventsComeInOrderAndSlowHookDelaysNothing(t *testing.T) {
	var mu sync.Mutex
	var got []entraredis.EventType
	var block chan struct{}
	var failing atomic.Bool
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if failing.Load() {
			return azcore.AccessToken{}, errors.New("EOF")
		}
		return mint(time.Now(), 10*time.Minute, nil), nil
	}}
	o := &entraredis.Options{OnEvent: func(e entraredis.Event) {
		<-block
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.Type)
		if e.Time.IsZero() || e.Username != oid || (e.Type == entraredis.EventRefreshFailed) != (e.Err != nil) {
			t.Errorf("event = %+v", e)
		}
	}}
	inBubble(t, c, o, func(t *testing.T, s *entraredis.Source) {
		block = make(chan struct{})
		mustToken(t, s)
		for range 60 {
			pass(time.Minute)
			mustToken(t, s)
		}
		refreshes := int(s.Status().Refreshes)
		if refreshes < 6 {
			t.Errorf("%d refreshes in an hour behind a blocked hook, want at least 6", refreshes)
		}
		failing.Store(true)
		pass(10 * time.Minute)
		close(block)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i, e := range got {
			want := entraredis.EventRefreshed
			if i >= refreshes {
				want = entraredis.EventRefreshFailed
			}
			if e != want {
				t.Errorf("event %d = %s, want %s", i, e, want)
			}
		}
		if len(got) <= refreshes {
			t.Errorf("%d events, want failures after the %d refreshes", len(got), refreshes)
		}
	})
}

func TestNewRefusesBadArguments(t *testing.T) {
	if _, err := entraredis.New(nil, nil); err == nil {
		t.Error("New(nil) = nil error")
	}
	if _, err := entraredis.New(&scripted{}, &entraredis.Options{RequestTimeout: -1}); err == nil {
		t.Error("negative RequestTimeout: nil error")
	}
}

func TestCloseCancelsAnAcquisitionThatIsHeldBack(t *testing.T) {
	c := &scripted{life: time.Millisecond}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(2 * time.Millisecond)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
				t.Errorf("Token: %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		s.Close()
		wg.Wait()
		pass(time.Second)
		if n := c.count(); n != 1 {
			t.Errorf("%d acquisitions, want none after Close", n)
		}
	})
}

func TestEventsBeyondTheQueueAreDroppedOldestFirst(t *testing.T) {
	var block chan struct{}
	var got []string
	var log bytes.Buffer
	o := &entraredis.Options{
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		OnEvent: func(e entraredis.Event) { <-block; got = append(got, e.Reason) },
	}
	inBubble(t, &scripted{life: time.Hour}, o, func(t *testing.T, s *entraredis.Source) {
		block = make(chan struct{})
		s.Emit(entraredis.Event{Reason: "first"})
		synctest.Wait()
		for i := range 5000 {
			s.Emit(entraredis.Event{Reason: strconv.Itoa(i)})
		}
		close(block)
		synctest.Wait()
		if len(got) != 1+4096 || got[0] != "first" || got[1] != "904" || got[4096] != "4999" {
			t.Errorf("%d events, from %s, %s to %s; want the first and the newest 4096", len(got), got[0], got[1], got[len(got)-1])
		}
		if n := strings.Count(log.String(), "events dropped"); n != 1 || !strings.Contains(log.String(), "count=904") {
			t.Errorf("log tells %d times of dropped events:\n%s", n, &log)
		}
		s.Emit(entraredis.Event{})
		synctest.Wait()
		if n := strings.Count(log.String(), "events dropped"); n != 1 {
			t.Errorf("log tells %d times of dropped events, want once", n)
		}
		s.Close()
		s.Emit(entraredis.Event{Reason: "late"})
		synctest.Wait()
		if len(got) != 2+4096 {
			t.Error("event delivered after Close")
		}
	})
}
