package entraredis

import "time"

// SetWall replaces the wall clock of a Source that has not been used yet:
// under testing/synctest wall and monotonic clock cannot part.
func (s *Source) SetWall(now func() time.Time) { s.clock.wall = now }

// Current is what a connection sees.
func (s *Source) Current() (Token, bool) { return s.current() }

// KindTexts are all kinds.
func KindTexts() (kinds []Kind) {
	for k := range kindTexts {
		kinds = append(kinds, k)
	}
	return kinds
}

// Emit is what a connection calls.
func (s *Source) Emit(e Event) { s.emit(e) }
