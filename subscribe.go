package entraredis

import "sync"

// subscribers tells functions of new tokens. Each runs on a goroutine that
// exists only while there is something to tell it, so ten thousand idle ones
// cost ten thousand map entries, and a slow one delays nobody.
type subscribers struct {
	mu     sync.Mutex // guards the rest and every subscriber's fields; not held while a function runs
	all    map[*subscriber]struct{}
	closed bool
}

type subscriber struct {
	fn      func(Token)
	pending Token // the newest token not yet told
	unread  bool
	running bool
	gone    bool
}

func (s *subscribers) add(fn func(Token)) (remove func()) {
	// The key is our own pointer: functions cannot be compared, and nobody
	// has to make them comparable.
	sub := &subscriber{fn: fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return func() {}
	}
	if s.all == nil {
		s.all = make(map[*subscriber]struct{})
	}
	s.all[sub] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		sub.gone = true
		delete(s.all, sub)
	}
}

func (s *subscribers) publish(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for sub := range s.all {
		sub.pending, sub.unread = t, true
		if !sub.running {
			sub.running = true
			go s.deliver(sub)
		}
	}
}

func (s *subscribers) deliver(sub *subscriber) {
	for {
		s.mu.Lock()
		if sub.gone || s.closed || !sub.unread {
			sub.pending, sub.running = Token{}, false
			s.mu.Unlock()
			return
		}
		t := sub.pending
		sub.unread = false
		s.mu.Unlock()
		sub.fn(t)
	}
}

func (s *subscribers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.all = true, nil
}
