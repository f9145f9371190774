package emulator_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis/emulator"
)

// after lets time pass inside a bubble.
func after(d time.Duration) { <-time.After(d) }

// A real credential in a bubble: refresh_in makes it ask again, although the
// token it holds is good for most of an hour.
func TestRefreshInIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true, RefreshIn: 10 * time.Minute})
		c := secretCredential(t, e)
		first := getToken(t, c, scope)
		if want := time.Now().Add(10 * time.Minute); !first.RefreshOn.Equal(want) {
			t.Errorf("RefreshOn: got %v, want %v", first.RefreshOn, want)
		}
		after(9 * time.Minute)
		if again := getToken(t, c, scope); again.Token != first.Token {
			t.Error("the token changed before refresh_in")
		}
		after(2 * time.Minute)
		second := getToken(t, c, scope)
		if second.Token == first.Token {
			t.Error("the token is the same after refresh_in")
		}
		checkToken(t, e, second.Token, emulator.AppObjectID, "https://redis.azure.com")

		// A refresh that fails is not seen: the token still holds.
		defer e.SetFault(emulator.Fault{Endpoint: "token", Status: http.StatusBadRequest, Body: `{"error":"x"}`})()
		after(11 * time.Minute)
		if third := getToken(t, c, scope); third.Token != second.Token {
			t.Error("the held token was not returned")
		}
		after(50 * time.Minute)
		if _, err := c.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}}); err == nil {
			t.Error("no error although nothing valid is held")
		}
	})
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true, TokenLifetime: 2500 * time.Millisecond})
		if got := e.Now(); !got.Equal(time.Now()) {
			t.Errorf("Now: got %v", got)
		}
		after(400 * time.Millisecond)
		e.Advance(time.Hour)
		if got, want := e.Now(), time.Now().Add(time.Hour); !got.Equal(want) {
			t.Errorf("after Advance: got %v, want %v", got, want)
		}
		var claims map[string]any
		e.Mint("app", func(c map[string]any) { claims = c })
		// 2.9 s after a whole second, rounded up: never shorter than promised.
		if got := claims["exp"].(int64) - claims["iat"].(int64); got != 3 {
			t.Errorf("the token lives %d s, want 3", got)
		}
		e.Advance(-time.Hour)
		if got := e.Now(); !got.Equal(time.Now()) {
			t.Errorf("moved back: got %v", got)
		}
	})
}
