package reauth

// subscriptions counts those that stand, as their confirmations tell.
type subscriptions struct {
	count [3]int64 // by family
}

func (s subscriptions) any() bool {
	return s.count[channels]+s.count[patterns]+s.count[shards] > 0
}

// confirm records a confirmation, whose number is that of all channels and
// patterns together, or of the shard channels.
func (s *subscriptions) confirm(f family, total int64) {
	switch f {
	case shards:
		s.count[shards] = total
	case channels:
		s.count[channels] = max(0, total-s.count[patterns])
	case patterns:
		s.count[patterns] = max(0, total-s.count[channels])
	}
}

// subscription reports whether the frame belongs to pub/sub: a message, or
// the confirmation of a subscription or of its end. In RESP3 these are
// pushes; in RESP2 arrays, which an ordinary reply could look like, so there
// they count only where one is possible.
func (t *Tracker) subscription() bool {
	switch t.replies.Type() {
	case '>':
	case '*':
		if t.seenProto == 3 || !t.seenSubs.any() && !t.queue.awaits(subscribe, unsubscribe) {
			return false
		}
	default:
		return false
	}
	var of family
	var ends bool
	switch string(t.replies.First()) {
	case "message", "pmessage", "smessage":
		return true
	case "subscribe":
		of = channels
	case "psubscribe":
		of = patterns
	case "ssubscribe":
		of = shards
	case "unsubscribe":
		of, ends = channels, true
	case "punsubscribe":
		of, ends = patterns, true
	case "sunsubscribe":
		of, ends = shards, true
	default:
		return false
	}
	stood := t.seenSubs.count[of]
	t.seenSubs.confirm(of, t.replies.LastInt())
	t.named(of, ends)
	t.dropSkips()
	k := subscribe
	if ends {
		k = unsubscribe
	}
	if !t.queue.awaits(k) || t.queue.front().family != of {
		return true // the server ended it by itself: a slot has moved
	}
	e := t.queue.front()
	if e.n == 0 {
		e.n = int(max(1, stood))
	}
	if e.n--; e.n == 0 {
		t.subOpen--
		t.queue.pop()
	}
	return true
}

// dropSkips drops the CLIENT REPLY SKIPs, and what they were for, that stand
// before the (un)subscription whose confirmation has come. A push is no reply,
// so it has not told yet how they ended; but a refusal would have come before.
func (t *Tracker) dropSkips() {
	i := 0
	for e := t.queue.at(i); e != nil && (e.kind == replySkip || e.kind == skipped); e = t.queue.at(i) {
		i++
	}
	if e := t.queue.at(i); e == nil || e.kind != subscribe && e.kind != unsubscribe {
		return
	}
	for t.queue.awaits(replySkip) {
		t.dropUnseen()
	}
}
