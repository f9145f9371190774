package rueidisentra_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/entraredis/entraredis"
	rueidisentra "github.com/entraredis/entraredis/adapter/rueidis"
	"github.com/redis/rueidis"
)

const lifetime = time.Hour

// issuer is a credential that answers a new token each time, or refuses.
type issuer struct {
	mu       sync.Mutex
	requests int
	refuse   error
}

func (i *issuer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests++
	if i.refuse != nil {
		return azcore.AccessToken{}, i.refuse
	}
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", i.requests), ExpiresOn: time.Now().Add(lifetime)}, nil
}

func (i *issuer) set(refuse error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refuse = refuse
}

type hook = func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error)

// in runs test in a synctest bubble with the hook over a Source over i, and
// the hook's context of one connection.
func in(t *testing.T, test func(t *testing.T, i *issuer, ask hook, conn rueidis.AuthCredentialsContext)) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		source, err := entraredis.New(i, &entraredis.Options{Username: "user"})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		option := rueidisentra.Option(source, rueidis.ClientOption{
			DialCtxFn: func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
				ours, theirs := net.Pipe()
				theirs.Close()
				return ours, nil
			},
		})
		conn, err := option.DialCtxFn(t.Context(), "cache:6380", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		test(t, i, option.AuthCredentialsFn, rueidis.AuthCredentialsContext{Address: conn.RemoteAddr()})
	})
}

// answer asks and checks what holds for every answer.
func answer(t *testing.T, ask hook, c rueidis.AuthCredentialsContext) rueidis.AuthCredentials {
	t.Helper()
	a, err := ask(c)
	if err != nil {
		t.Fatalf("error: got %v, want none", err)
	}
	if !a.RefreshAfter.After(time.Now()) {
		t.Fatalf("RefreshAfter: got %v, want a time after %v", a.RefreshAfter, time.Now())
	}
	return a
}

func TestConnectionIsGivenEachTokenOnce(t *testing.T) {
	in(t, func(t *testing.T, _ *issuer, ask hook, conn rueidis.AuthCredentialsContext) {
		expires := time.Now().Add(lifetime)
		var got []string
		for range 4 * 60 {
			a := answer(t, ask, conn)
			if a.Password != "" {
				if a.Username != "user" {
					t.Errorf("username: got %q, want %q", a.Username, "user")
				}
				if time.Now().After(expires) {
					t.Errorf("%s came %v after its predecessor's expiry", a.Password, time.Since(expires))
				}
				expires = time.Now().Add(lifetime)
				got = append(got, a.Password)
			}
			if time.Until(a.RefreshAfter) <= 0 || a.RefreshAfter.After(expires) {
				t.Fatalf("RefreshAfter: got %v, want within the token's life, which ends %v", a.RefreshAfter, expires)
			}
			<-time.After(time.Until(a.RefreshAfter))
			if len(got) == 3 {
				break
			}
		}
		if want := []string{"token-1", "token-2", "token-3"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("tokens: got %q, want %q", got, want)
		}
	})
}

func TestFailingIssuer(t *testing.T) {
	in(t, func(t *testing.T, i *issuer, ask hook, conn rueidis.AuthCredentialsContext) {
		a := answer(t, ask, conn)
		expires := time.Now().Add(lifetime)
		i.set(errors.New("503"))
		asked := 0
		for a.RefreshAfter.Before(expires.Add(-time.Second)) {
			<-time.After(time.Until(a.RefreshAfter))
			a = answer(t, ask, conn)
			if a.Username != "" || a.Password != "" {
				t.Fatal("unchanged token: got credentials, want none")
			}
			asked++
		}
		if asked == 0 || asked > 100 {
			t.Errorf("asked %d times within a token's life, want at least once and not without end", asked)
		}
		if got := answer(t, ask, rueidis.AuthCredentialsContext{Address: &net.TCPAddr{}}).Password; got != "token-1" {
			t.Errorf("a connection not dialed by us: got %q, want the token held", got)
		}
		<-time.After(time.Minute)
		if _, err := ask(conn); err == nil {
			t.Error("no valid token left: got no error")
		}
		i.set(nil)
		<-time.After(time.Minute)
		if got := answer(t, ask, conn).Password; got == "" || got == "token-1" {
			t.Errorf("after recovery: got %q, want a new token", got)
		}
	})
}

func TestDialErrorIsReturned(t *testing.T) {
	source, err := entraredis.New(&issuer{}, &entraredis.Options{Username: "user"})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	want := errors.New("no route")
	option := rueidisentra.Option(source, rueidis.ClientOption{
		DialFn: func(string, *net.Dialer, *tls.Config) (net.Conn, error) { return nil, want },
	})
	if _, got := option.DialCtxFn(t.Context(), "cache:6380", nil, nil); !errors.Is(got, want) {
		t.Errorf("error: got %v, want %v", got, want)
	}
}
