package entraredis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
)

// Whatever a credential returns, the issuer is not asked in a tight loop: not
// by the refresh loop, and not by callers that ask every millisecond.
func TestNoLifetimeMakesAHotLoop(t *testing.T) {
	tests := []struct {
		name   string
		script func(n int) azcore.AccessToken
		most   int // acquisitions in 10 s
		fails  entraredis.Kind
	}{
		{"expired on arrival", func(int) azcore.AccessToken { return mint(time.Now().Add(-time.Hour), time.Hour, nil) }, 25, entraredis.KindClockSkew},
		{"negative life", func(int) azcore.AccessToken { return mint(time.Now(), -time.Hour, nil) }, 25, entraredis.KindClockSkew},
		{"begins in an hour", func(int) azcore.AccessToken { return mint(time.Now().Add(time.Hour), time.Hour, nil) }, 25, entraredis.KindClockSkew},
		{"1 ms", func(int) azcore.AccessToken { return mint(time.Now(), time.Millisecond, nil) }, 201, ""},
		{"100 ms", func(int) azcore.AccessToken { return mint(time.Now(), 100*time.Millisecond, nil) }, 201, ""},
		{"2 s", func(int) azcore.AccessToken { return mint(time.Now(), 2*time.Second, nil) }, 11, ""},
		{"60 s", func(int) azcore.AccessToken { return mint(time.Now(), time.Minute, nil) }, 1, ""},
		{"past its refresh point", func(int) azcore.AccessToken { return mint(time.Now().Add(-74*time.Minute), 75*time.Minute, nil) }, 11, ""},
		{"RefreshOn always now", func(int) azcore.AccessToken {
			tok := mint(time.Now(), time.Hour, nil)
			tok.RefreshOn = time.Now().Add(time.Millisecond)
			return tok
		}, 11, ""},
		{"issued in the future", func(int) azcore.AccessToken { return mint(time.Now().Add(4*time.Minute), 10*time.Minute, nil) }, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) { return tt.script(n), nil }}
			inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
				for stop := time.Now().Add(10 * time.Second); time.Now().Before(stop); pass(time.Millisecond) {
					_, err := s.Token(t.Context())
					te, _ := errors.AsType[*entraredis.TokenError](err)
					if tt.fails == "" && err != nil || tt.fails != "" && (te == nil || te.Kind != tt.fails) {
						t.Fatalf("Token: %v, want kind %q", err, tt.fails)
					}
				}
				if n := c.count(); n == 0 || n > tt.most {
					t.Errorf("%d acquisitions in 10 s, want 1 to %d", n, tt.most)
				}
			})
		})
	}
}

// A credential like those of azidentity: it returns the same token until five
// minutes before its expiry, whatever is asked.
type caching struct {
	life      time.Duration
	refreshOn bool // the first answer asks to come back at half life, later ones do not

	mu    sync.Mutex
	tok   azcore.AccessToken
	spare []time.Duration // left of the old token when a new one was made
}

func (c *caching) script(context.Context, int) (azcore.AccessToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := time.Until(c.tok.ExpiresOn)
	if left >= 5*time.Minute {
		tok := c.tok
		return tok, nil
	}
	if c.tok.Token != "" {
		c.spare = append(c.spare, left)
	}
	c.tok = mint(time.Now(), c.life, nil)
	tok := c.tok
	if c.refreshOn {
		tok.RefreshOn = time.Now().Add(c.life / 2)
	}
	return tok, nil
}

func TestCachingCredentialGivesANewTokenInTime(t *testing.T) {
	for _, tt := range []struct {
		name      string
		life      time.Duration
		refreshOn bool
		unchanged uint64
	}{
		{"75 minutes", 75 * time.Minute, false, 0},
		{"24 hours, RefreshOn at half life", 24 * time.Hour, true, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cache := &caching{life: tt.life, refreshOn: tt.refreshOn}
			c := &scripted{script: cache.script}
			inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
				var told atomic.Int64
				seen := make(map[string]bool)
				s.Subscribe(func(tok entraredis.Token) {
					told.Add(1)
					if seen[tok.Password()] {
						t.Error("subscriber was told of a token twice")
					}
					seen[tok.Password()] = true
				})
				for range 4 {
					pass(tt.life - 5*time.Minute)
				}
				pass(5 * time.Minute)
				st := s.Status()
				if st.Refreshes < 4 || told.Load() != int64(st.Refreshes) {
					t.Errorf("%d new tokens, subscriber told %d times", st.Refreshes, told.Load())
				}
				if st.Unchanged < tt.unchanged || st.Unchanged > 2*tt.unchanged {
					t.Errorf("%d unchanged refreshes, want about %d", st.Unchanged, tt.unchanged)
				}
				for _, left := range cache.spare {
					if left < 2*time.Minute-time.Second {
						t.Errorf("new token with %v to spare, want at least 2m", left)
					}
				}
			})
		})
	}
}

// A credential that gives a new token only when the old one is almost over
// must be asked often enough.
func TestCredentialThatCachesTooLongIsAskedAgainAndAgain(t *testing.T) {
	var tok azcore.AccessToken
	var mu sync.Mutex
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Until(tok.ExpiresOn) > 10*time.Second {
			return tok, nil
		}
		tok = mint(time.Now(), time.Hour, nil)
		return tok, nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		for range 5 * 3600 {
			mustToken(t, s)
			pass(time.Second)
		}
		if st := s.Status(); st.Refreshes < 5 || st.Unchanged < 20 || st.Unchanged > 200 {
			t.Errorf("Status = %+v, want 5 refreshes and some unchanged ones", st)
		}
	})
}

func TestRefreshOnIsHonoured(t *testing.T) {
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		tok := mint(time.Now(), 24*time.Hour, nil)
		tok.RefreshOn = time.Now().Add(12 * time.Hour)
		return tok, nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(12 * time.Hour)
		if n := c.count(); n != 2 || c.at(1).Sub(c.at(0)) != 12*time.Hour {
			t.Errorf("%d acquisitions after 12 hours, want the second at RefreshOn", n)
		}
	})
}

func TestTokenPastItsRefreshPointIsServedAndRefreshedSoon(t *testing.T) {
	c := &scripted{script: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n == 0 {
			return mint(time.Now().Add(-74*time.Minute), 75*time.Minute, nil), nil
		}
		return mint(time.Now(), 75*time.Minute, nil), nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(2 * time.Second)
		if n := c.count(); n != 2 {
			t.Errorf("%d acquisitions, want 2: at once and a second later", n)
		}
		if left := time.Until(mustToken(t, s).ExpiresOn); left < 74*time.Minute {
			t.Errorf("token held has %v left, want the new one", left)
		}
	})
}

// wall is a wall clock that can be set.
type wall struct{ offset atomic.Int64 }

func (w *wall) now() time.Time { return time.Now().Round(0).Add(time.Duration(w.offset.Load())) }

func (w *wall) set(ahead time.Duration) { w.offset.Add(int64(ahead)) }

// A suspended machine and a wall clock that is set ahead look the same: the
// wall clock has gone on, the monotonic one has not.
func TestSuspendedMachineDoesNotHandOutAnExpiredToken(t *testing.T) {
	var w wall
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) { return mint(w.now(), time.Hour, nil), nil }}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.SetWall(w.now)
		first := mustToken(t, s)
		pass(time.Minute)
		w.set(2 * time.Hour)
		pass(time.Millisecond)
		if got := mustTokenSoon(t, s); got.Password() == first.Password() || !got.ExpiresOn.After(w.now()) {
			t.Error("Token handed out the token that expired while suspended")
		}
	})
}

func TestSuspendIsNoticedWithoutCallers(t *testing.T) {
	var w wall
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) { return mint(w.now(), time.Hour, nil), nil }}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.SetWall(w.now)
		mustToken(t, s)
		pass(time.Second)
		w.set(58*time.Minute + 30*time.Second)
		pass(30 * time.Second)
		if n := c.count(); n != 2 {
			t.Errorf("%d acquisitions 30 s after waking up within the refresh window, want 2", n)
		}
	})
}

func TestCallerPastTheRefreshPointKicksTheLoop(t *testing.T) {
	var w wall
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) { return mint(w.now(), time.Hour, nil), nil }}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.SetWall(w.now)
		mustToken(t, s)
		pass(time.Second)
		w.set(58*time.Minute + 30*time.Second)
		mustToken(t, s)
		pass(time.Millisecond)
		if n := c.count(); n != 2 {
			t.Errorf("%d acquisitions after a caller found the refresh due, want 2 at once", n)
		}
	})
}

func TestWallClockSetBackDoesNotProlongAToken(t *testing.T) {
	var w wall
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) { return mint(w.now(), time.Hour, nil), nil }}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		s.SetWall(w.now)
		mustToken(t, s)
		pass(time.Second)
		w.set(-10 * time.Hour)
		pass(time.Hour - time.Second)
		if st := s.Status(); st.Refreshes != 2 {
			t.Errorf("%d refreshes an hour after the wall clock was set back, want 2", st.Refreshes)
		}
		mustToken(t, s)
	})
}

func TestCredentialThatReturnsAnExpiredTokenAgain(t *testing.T) {
	var once sync.Once
	var tok azcore.AccessToken
	c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		once.Do(func() { tok = mint(time.Now(), time.Hour, nil) })
		return tok, nil
	}}
	inBubble(t, c, nil, func(t *testing.T, s *entraredis.Source) {
		mustToken(t, s)
		pass(time.Hour)
		_, err := s.Token(t.Context())
		if te, ok := errors.AsType[*entraredis.TokenError](err); !ok || te.Kind != entraredis.KindExpired {
			t.Errorf("Token: %v, want kind expired", err)
		}
		if st := s.Status(); st.Refreshes != 1 || st.Unchanged < 5 {
			t.Errorf("Status = %+v, want several unchanged refreshes", st)
		}
	})
}
