package emulator

import (
	"sync"

	"github.com/entraredis/entraredis/internal/jwt"
)

// maxSigned is how many tokens are remembered. They are of up to 256 KiB, though
// seldom of more than 2.
const maxSigned = 64

// signed remembers tokens that are signed with the key: a fleet presents one on all
// of its connections, and to verify it anew costs most of the time that an AUTH takes.
// Whether it may be used now is not part of that.
type signed struct {
	verify func(token string) (jwt.Claims, error)

	mu     sync.Mutex // guards the rest
	claims map[string]jwt.Claims
}

func (s *signed) read(token string) (jwt.Claims, error) {
	s.mu.Lock()
	claims, known := s.claims[token]
	s.mu.Unlock()
	if known {
		return claims, nil
	}
	claims, err := s.verify(token)
	if err != nil {
		return claims, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims == nil || len(s.claims) >= maxSigned {
		s.claims = map[string]jwt.Claims{}
	}
	s.claims[token] = claims
	return claims, nil
}
