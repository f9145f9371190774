package goredis

import (
	"sync"

	"github.com/entraredis/entraredis"
	"github.com/redis/go-redis/v9/auth"
)

// A subscription hands the tokens of a Source to one listener.
type subscription struct {
	listener auth.CredentialsListener
	stop     func() // ends the Source's announcements; may be called again

	mu    sync.Mutex // guards held and ended; never held while the listener runs
	held  string     // the access token the listener has
	ended bool
}

// hold notes that the listener is given token by other means than OnNext.
func (s *subscription) hold(token entraredis.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = token.Password()
}

// deliver announces token unless the listener has it already: the Source
// announces its very first token too, which Subscribe has returned.
func (s *subscription) deliver(token entraredis.Token) {
	s.mu.Lock()
	news := !s.ended && s.held != token.Password()
	if news {
		s.held = token.Password()
	}
	s.mu.Unlock()
	if news {
		s.listener.OnNext(auth.NewBasicCredentials(token.Username, token.Password()))
	}
}

// unsubscribe is an [auth.UnsubscribeFunc]. It does not wait for an OnNext that
// is already running.
func (s *subscription) unsubscribe() error {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}
