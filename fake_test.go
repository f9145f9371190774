package entraredis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

const oid = "0f4c2f9e-63b5-4a9e-9a51-2f3a3b0f7c11"

// The key is made once, outside every synctest bubble.
var signingKey = func() *jwt.Key {
	k, err := jwt.NewKey()
	if err != nil {
		panic(err)
	}
	return k
}()

var serial atomic.Int64

// mint signs a token like those of Entra. Each is different.
func mint(issued time.Time, life time.Duration, change func(map[string]any)) azcore.AccessToken {
	claims := map[string]any{
		"aud": "https://redis.azure.com", "oid": oid, "appid": "11111111-2222-3333-4444-555555555555",
		"iat": issued.Unix(), "nbf": issued.Unix(), "exp": issued.Add(life).Unix(), "uti": fmt.Sprint(serial.Add(1)),
	}
	if change != nil {
		change(claims)
	}
	t, err := signingKey.Sign(claims)
	if err != nil {
		panic(err)
	}
	return azcore.AccessToken{Token: t, ExpiresOn: issued.Add(life)}
}

// scripted is a credential that does what script says; without one it mints a
// token of the given life at each call. n counts the calls from 0.
type scripted struct {
	life   time.Duration
	script func(ctx context.Context, n int) (azcore.AccessToken, error)

	mu    sync.Mutex // guards calls
	calls []time.Time
}

func (c *scripted) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	n := len(c.calls)
	c.calls = append(c.calls, time.Now())
	c.mu.Unlock()
	if c.script != nil {
		return c.script(ctx, n)
	}
	return mint(time.Now(), c.life, nil), nil
}

func (c *scripted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// at returns when the nth call came.
func (c *scripted) at(n int) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[n]
}

// inBubble runs f under a fake clock with a Source that is closed afterwards.
// The bubble fails the test if a goroutine outlives it.
func inBubble(t *testing.T, c azcore.TokenCredential, o *entraredis.Options, f func(t *testing.T, s *entraredis.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := entraredis.New(c, o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, s)
	})
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// mustToken is a Token call that may neither fail nor take time.
func mustToken(t *testing.T, s *entraredis.Source) entraredis.Token {
	t.Helper()
	start := time.Now()
	tok, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	if d := time.Since(start); d != 0 {
		t.Fatalf("Token took %v, want no wait", d)
	}
	return tok
}
