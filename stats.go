package entraredis

import "maps"

// Stats counts what a Dialer and its connections did.
type Stats struct {
	Open           int64             // connections open now
	Dials          uint64            // calls of DialContext
	DialFailures   uint64            // of these, those that returned an error
	Reauths        uint64            // re-AUTHs accepted
	ReauthRefused  uint64            // re-AUTHs refused; each is tried again until the old token ends
	Refused        map[Kind]uint64   // the same by kind
	ReauthDeferred uint64            // re-AUTHs that had to wait for the connection's state to allow one
	Deferred       map[string]uint64 // the same by reason, such as "transaction" or "resp2-subscribed"
	Handovers      uint64            // RESP2 subscribers handed over to another connection, instead of a re-AUTH
	HandoverFailed uint64            // tries of that which failed; each is tried again until the old token ends
	Expired        uint64            // connections that ended because their token did
}

// Stats returns a snapshot.
func (d *Dialer) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Refused, s.Deferred = maps.Clone(s.Refused), maps.Clone(s.Deferred)
	return s
}

func (d *Dialer) count(change func(*Stats)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.stats)
}

func (s *Stats) refused(kind Kind) {
	s.ReauthRefused++
	s.Refused = countKind(s.Refused, kind)
}

// countKind counts in counts, which may be nil. A credential may return a
// TokenError with any Kind: what is no Kind of ours is unknown, so that counts
// are bounded.
func countKind(counts map[Kind]uint64, kind Kind) map[Kind]uint64 {
	if _, ok := kindTexts[kind]; !ok {
		kind = KindUnknown
	}
	if counts == nil {
		counts = map[Kind]uint64{}
	}
	counts[kind]++
	return counts
}

func (s *Stats) deferred(reason string) {
	s.ReauthDeferred++
	if s.Deferred == nil {
		s.Deferred = map[string]uint64{}
	}
	s.Deferred[reason]++
}
