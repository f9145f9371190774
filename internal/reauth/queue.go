package reauth

import "slices"

// kind says what a command changes, and so what its reply must be read for.
type kind uint8

const (
	plain      kind = iota
	auth            // ours
	authUnseen      // ours, behind CLIENT REPLY OFF
	ownHello        // ours
	clientAuth
	multi
	exec
	discard
	subscribe   // any of the three families
	unsubscribe // any of the three families
	hello
	reset
	replyOff
	replyOn
	replySkip
	skipped // the command behind CLIENT REPLY SKIP
	blocking
	shortened      // a blocking command that was sent with another time-out
	lookup         // ours: an XREVRANGE
	standIn        // a PING for an AUTH of the client's
	settingCommand // SELECT and the like: see remember
	ping           // to a RESP2 subscriber it is answered in another form
	monitor
	replicate
)

// entry is a command, or a run of plain ones, whose reply is due.
type entry struct {
	kind   kind
	family family // of subscribe and unsubscribe
	login  bool   // hello: carries AUTH
	bare   bool   // hello: sets the protocol and nothing else
	// n: commands in a run of plain ones; confirmations due of an
	// (un)subscription, 0 meaning one for each that stands; version of hello;
	// of CLIENT REPLY OFF how many of OFF and ON were sent up to it.
	n int
	// answer: what the client sees in place of the reply to an AUTH of ours.
	answer answer
}

// maxEntries bounds a queue. Runs of plain commands are one entry, so only a
// client that never reads its replies gets there.
const maxEntries = 1 << 20

// queue is the replies still due, oldest first, in a ring.
type queue struct {
	ring []entry
	head int
	len  int
}

func (q *queue) empty() bool { return q.len == 0 }
func (q *queue) full() bool  { return q.len >= maxEntries }

func (q *queue) front() *entry { return &q.ring[q.head] }

// at returns the i-th oldest entry, or nil.
func (q *queue) at(i int) *entry {
	if i >= q.len {
		return nil
	}
	return &q.ring[(q.head+i)&(len(q.ring)-1)]
}

// awaits reports whether the oldest reply due is of one of the kinds.
func (q *queue) awaits(ks ...kind) bool {
	return q.len > 0 && slices.Contains(ks, q.front().kind)
}

func (q *queue) push(e entry) {
	if e.kind == plain && q.len > 0 {
		if last := &q.ring[(q.head+q.len-1)&(len(q.ring)-1)]; last.kind == plain {
			last.n += e.n
			return
		}
	}
	if q.len == len(q.ring) {
		grown := make([]entry, max(8, 2*len(q.ring)))
		for i := range q.len {
			grown[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.len)&(len(q.ring)-1)] = e
	q.len++
}

// pop drops the oldest reply due: one of a run.
func (q *queue) pop() { q.drop(1) }

// drop drops n of a run, or the oldest reply due if that is none.
func (q *queue) drop(n int) {
	if e := q.front(); e.kind == plain && e.n > n {
		e.n -= n
		return
	}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.len--
	if q.len == 0 && len(q.ring) > 1024 {
		q.ring, q.head = nil, 0 // one long pipeline must not hold memory for the connection's life
	}
}
