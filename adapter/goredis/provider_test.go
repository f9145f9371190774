package goredis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/adapter/goredis"
	"github.com/redis/go-redis/v9/auth"
)

const lifetime = time.Hour

// issuer is a credential whose answers a test decides. Each answer is a new
// token unless told otherwise.
type issuer struct {
	mu       sync.Mutex
	requests int
	refuse   error
	repeat   azcore.AccessToken // answered instead of a new token, if set
}

func (i *issuer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests++
	if i.refuse != nil {
		return azcore.AccessToken{}, i.refuse
	}
	if i.repeat.Token != "" {
		return i.repeat, nil
	}
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", i.requests), ExpiresOn: time.Now().Add(lifetime)}, nil
}

func (i *issuer) set(refuse error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refuse = refuse
}

// listener records what go-redis would be told.
type listener struct {
	mu     sync.Mutex
	tokens []string
	errs   []error
	block  chan struct{} // OnNext waits for it, if set
}

func (l *listener) OnNext(c auth.Credentials) {
	if l.block != nil {
		<-l.block
	}
	_, password := c.BasicAuth()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = append(l.tokens, password)
}

func (l *listener) OnError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *listener) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.tokens...)
}

// in runs test in a synctest bubble with a Provider over a Source over i.
func in(t *testing.T, test func(t *testing.T, i *issuer, p *goredis.Provider)) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		source, err := entraredis.New(i, &entraredis.Options{Username: "user"})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		test(t, i, goredis.New(source))
	})
}

// pass lets d go by on the bubble's clock.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func subscribe(t *testing.T, p *goredis.Provider, l auth.CredentialsListener) (password string, unsubscribe auth.UnsubscribeFunc) {
	t.Helper()
	c, unsubscribe, err := p.Subscribe(l)
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	username, password := c.BasicAuth()
	if username != "user" {
		t.Errorf("username: got %q, want %q", username, "user")
	}
	return password, unsubscribe
}

func TestSubscribeReturnsTheTokenAndAnnouncesTheNext(t *testing.T) {
	in(t, func(t *testing.T, _ *issuer, p *goredis.Provider) {
		var l listener
		if got, want := first(subscribe(t, p, &l)), "token-1"; got != want {
			t.Errorf("returned token: got %q, want %q", got, want)
		}
		pass(time.Minute)
		if got := l.got(); len(got) != 0 {
			t.Errorf("the returned token was announced too: got %q", got)
		}
		pass(lifetime)
		if got, want := l.got(), []string{"token-2"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("announced: got %q, want %q", got, want)
		}
	})
}

func TestUnchangedTokenIsNotAnnounced(t *testing.T) {
	in(t, func(t *testing.T, i *issuer, p *goredis.Provider) {
		i.repeat = azcore.AccessToken{Token: "same", ExpiresOn: time.Now().Add(lifetime)}
		var l listener
		subscribe(t, p, &l)
		pass(lifetime - time.Second)
		if i.requests < 2 {
			t.Fatalf("requests: got %d, want a refresh", i.requests)
		}
		if got := l.got(); len(got) != 0 {
			t.Errorf("announced: got %q, want none", got)
		}
	})
}

func TestFailingIssuerIsNotAnnounced(t *testing.T) {
	in(t, func(t *testing.T, i *issuer, p *goredis.Provider) {
		var l listener
		subscribe(t, p, &l)
		i.set(errors.New("503"))
		pass(lifetime - time.Second)
		if i.requests < 3 {
			t.Fatalf("requests: got %d, want failed refreshes", i.requests)
		}
		if got, want := first(subscribe(t, p, &listener{})), "token-1"; got != want {
			t.Errorf("Subscribe while the issuer fails: got %q, want %q", got, want)
		}
		pass(lifetime) // expired, and still failing
		i.set(nil)
		pass(time.Minute)
		if len(l.errs) != 0 {
			t.Errorf("OnError: got %v, want none", l.errs)
		}
		if got := l.got(); len(got) != 1 {
			t.Errorf("announced after recovery: got %q, want one token", got)
		}
	})
}

func TestSubscribeFailsOnlyWithoutAToken(t *testing.T) {
	in(t, func(t *testing.T, i *issuer, p *goredis.Provider) {
		refused := errors.New("refused")
		i.set(refused)
		var l listener
		if _, _, err := p.Subscribe(&l); !errors.Is(err, refused) {
			t.Fatalf("error: got %v, want %v", err, refused)
		}
		i.set(nil)
		pass(lifetime)
		if got := l.got(); len(got) != 0 {
			t.Errorf("announced to a listener whose Subscribe failed: %q", got)
		}
		subscribe(t, p, &l)
	})
}

func TestSubscribeTwiceIsOneSubscription(t *testing.T) {
	in(t, func(t *testing.T, _ *issuer, p *goredis.Provider) {
		var l listener
		_, unsubscribe := subscribe(t, p, &l)
		_, again := subscribe(t, p, &l)
		pass(lifetime)
		if got := l.got(); len(got) != 1 {
			t.Errorf("announced: got %q, want one token", got)
		}
		for _, f := range []auth.UnsubscribeFunc{unsubscribe, unsubscribe, again} {
			if err := f(); err != nil {
				t.Errorf("unsubscribe: got %v, want nil", err)
			}
		}
		pass(lifetime)
		if got := l.got(); len(got) != 1 {
			t.Errorf("announced after unsubscribe: got %q, want no more", got)
		}

		subscribe(t, p, &l)
		if err := again(); err != nil {
			t.Errorf("unsubscribe: got %v, want nil", err)
		}
		pass(lifetime)
		if got := l.got(); len(got) != 2 {
			t.Errorf("announced after subscribing anew: got %q, want one more", got)
		}
	})
}

// incomparable is a listener that panics when used as a map key or with ==.
type incomparable struct {
	tokens chan string
	_      []int
}

func (l incomparable) OnNext(c auth.Credentials) {
	_, password := c.BasicAuth()
	l.tokens <- password
}

func (incomparable) OnError(error) {}

func TestListenerThatCannotBeCompared(t *testing.T) {
	in(t, func(t *testing.T, _ *issuer, p *goredis.Provider) {
		l := incomparable{tokens: make(chan string, 10)}
		_, unsubscribe := subscribe(t, p, l)
		pass(lifetime)
		if got, want := len(l.tokens), 1; got != want {
			t.Fatalf("announced: got %d tokens, want %d", got, want)
		}
		if err := unsubscribe(); err != nil {
			t.Errorf("unsubscribe: got %v, want nil", err)
		}
		pass(lifetime)
		if got, want := len(l.tokens), 1; got != want {
			t.Errorf("announced after unsubscribe: got %d tokens, want %d", got, want)
		}
	})
}

func TestSlowListenerDelaysNoOther(t *testing.T) {
	in(t, func(t *testing.T, _ *issuer, p *goredis.Provider) {
		slow := listener{block: make(chan struct{})}
		var quick listener
		subscribe(t, p, &slow)
		subscribe(t, p, &quick)
		pass(4 * lifetime)
		if got, want := len(quick.got()), 4; got < want {
			t.Errorf("announced to the quick one: got %d tokens, want at least %d", got, want)
		}
		close(slow.block)
		synctest.Wait()
		got, newest := slow.got(), quick.got()
		if len(got) == 0 || got[len(got)-1] != newest[len(newest)-1] {
			t.Errorf("announced to the slow one: got %q, want the newest of %q in the end", got, newest)
		}
	})
}

func first(password string, _ auth.UnsubscribeFunc) string { return password }
