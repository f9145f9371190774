package goredis

import (
	"context"
	"reflect"
	"sync"

	"github.com/entraredis/entraredis"
	"github.com/redis/go-redis/v9/auth"
)

// A Provider announces the tokens of a [entraredis.Source] to go-redis. Make
// one with [New]. It may be shared by any number of clients and goroutines. It
// holds no goroutine and needs no closing; closing the Source ends its
// announcements.
type Provider struct {
	source *entraredis.Source

	mu        sync.Mutex // guards listeners; never held while waiting for a token
	listeners map[auth.CredentialsListener]*subscription
}

var _ auth.StreamingCredentialsProvider = (*Provider)(nil)

// New returns a Provider over source, which must not be nil. The caller keeps
// the ownership of source and closes it after its clients.
func New(source *entraredis.Source) *Provider {
	return &Provider{source: source, listeners: make(map[auth.CredentialsListener]*subscription)}
}

// Subscribe returns the username and access token valid now and announces
// every later token to listener.OnNext, until the returned function is called.
// It never calls listener.OnError.
//
// It waits only while the Source holds no valid token, at most as long as the
// Source's own request timeout (entraredis.Options.RequestTimeout): the
// interface of go-redis passes no context. Its errors are those of
// [entraredis.Source.Token].
//
// As [auth.StreamingCredentialsProvider] demands, a listener that subscribes
// twice has one subscription, which any of its unsubscribe functions ends. A
// listener whose type cannot be compared cannot be recognised, and has a
// subscription for each call. The unsubscribe function may be called again,
// and always returns nil.
func (p *Provider) Subscribe(listener auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	token, err := p.source.Token(context.Background())
	if err != nil {
		return nil, nil, err
	}
	s := p.subscription(listener, token)

	// The token may have been replaced before the subscription began. Asking
	// again closes that gap; it fails only if the token has expired since.
	token, err = p.source.Token(context.Background())
	if err != nil {
		_ = s.unsubscribe()
		return nil, nil, err
	}
	s.hold(token)
	return auth.NewBasicCredentials(token.Username, token.Password()), s.unsubscribe, nil
}

// subscription returns the subscription of listener, and starts one after
// token if there is none.
func (p *Provider) subscription(listener auth.CredentialsListener, token entraredis.Token) *subscription {
	s := &subscription{listener: listener, held: token.Password()}
	if !reflect.ValueOf(listener).Comparable() {
		s.stop = p.source.Subscribe(s.deliver)
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.listeners[listener]; ok {
		return known
	}
	p.listeners[listener] = s
	stop := p.source.Subscribe(s.deliver)
	s.stop = func() {
		p.forget(listener, s)
		stop()
	}
	return s
}

// forget drops s unless listener has meanwhile subscribed anew.
func (p *Provider) forget(listener auth.CredentialsListener, s *subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listeners[listener] == s {
		delete(p.listeners, listener)
	}
}
