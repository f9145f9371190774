package reauth

import "errors"

// ErrTooManyDue is returned for a client that sends on and on without reading
// its replies, in a pattern that cannot be kept in little memory.
var ErrTooManyDue = errors.New("over a million replies are due")

// Client takes bytes that the client is about to send. It returns how many of
// them go out before the next call: all of b with inject false, or fewer
// with inject true if an AUTH is to be sent right behind them. That is so
// where one must follow (behind RESET, which logs the connection out) and, if
// want is set, at the first place where one may. Client then expects Injected.
func (t *Tracker) Client(b []byte, want bool) (n int, inject bool, err error) {
	if t.stopped != None {
		return len(b), false, nil
	}
	for n < len(b) {
		k, done, err := t.requests.Next(b[n:])
		n += k
		if err != nil {
			// The server answers this itself, and closes.
			t.stop(Unfollowable)
			return len(b), false, nil
		}
		if !done {
			continue
		}
		if t.queue.full() {
			return n, false, ErrTooManyDue
		}
		t.sent(t.classify())
		if t.stopped != None {
			return len(b), false, nil
		}
		if t.mustAuth || want && t.Deferred() == None {
			return n, true, nil
		}
	}
	return n, false, nil
}

// sent records a command that the client has completed.
func (t *Tracker) sent(e entry) {
	if t.skipNext {
		t.skipNext = false
		if e.kind != plain && e.kind != blocking {
			t.stop(Unfollowable) // a change of mode whose outcome nobody will see
			return
		}
		t.queue.push(entry{kind: skipped})
		return
	}
	if t.multi && !followableInMulti(e.kind) || t.off && !followableUnseen(e.kind) {
		t.stop(Unfollowable)
		t.queue.push(e) // an end of CLIENT REPLY OFF is still to be told from what is ours
		return
	}
	switch e.kind {
	case plain:
		if string(t.requests.Name()) == "QUIT" {
			t.stop(Quitting)
		}
	case multi:
		t.multi = true
		t.txOpen++
	case exec, discard:
		// Where EXEC is refused the transaction stays open (Redis 6.0): only
		// where it has been seen to work is the end taken for granted.
		if t.execTrusted && t.requests.Args() == 1 {
			t.multi = false
		}
		t.txOpen++
	case reset:
		t.txOpen++
		t.hello++
		t.off = false
		t.mustAuth = true
	case hello:
		t.hello++
		if e.login {
			t.ownAuth++
		}
	case clientAuth:
		t.ownAuth++
	case subscribe, unsubscribe:
		t.subOpen++
	case blocking:
		if t.multi || t.off {
			e = entry{kind: plain, n: 1} // does not block, or its end is not seen
			break
		}
		t.blocking++
	case monitor:
		t.monitor = true
	case replyOff:
		t.off = true
	case replyOn:
		t.off = false
	case replySkip:
		if t.off {
			e = entry{kind: plain, n: 1}
			break
		}
		t.skipNext = true
	case replicate:
		t.stop(Replicating)
	}
	t.queue.push(e)
}

// followableInMulti: what is queued by MULTI takes effect at EXEC, inside a
// reply that is not read that closely.
func followableInMulti(k kind) bool {
	switch k {
	case plain, multi, exec, discard, reset, blocking:
		return true
	}
	return false
}

// followableUnseen: behind CLIENT REPLY OFF nothing tells how a command ended.
func followableUnseen(k kind) bool {
	switch k {
	case plain, multi, exec, discard, reset, blocking, replyOff, replyOn, replySkip:
		return true
	}
	return false
}
