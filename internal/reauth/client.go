package reauth

import "bytes"

// Step says what becomes of bytes that a client is about to send, in order.
type Step struct {
	Send   int    // so many of them go out as they are
	Skip   int    // so many are dropped: what is inserted stands for them
	Insert []byte // then this, which is ours
	Auth   bool   // then an AUTH of ours: Client expects Injected
	Hold   bool   // the rest waits, in front of the client's next ones: until they come, or Ready
}

// Client takes bytes that the client is about to send and says how to begin
// with them: after each step it is given what is left.
//
// An AUTH is called for where one must follow (behind RESET, which logs the
// connection out) and, if want is set, at the first place where one may. The
// rest is held where it is a command whose name is not complete, for what has
// to go out before a command has to go out before all of it; where it is a
// blocking command whose time-out is not complete; and behind one that was sent
// with a time-out of ours.
func (t *Tracker) Client(b []byte, want bool) Step {
	if t.block != nil {
		return t.behindBlock(b, want)
	}
	t.withheld = false
	if t.stopped != None {
		return t.pass(b, 0)
	}
	n, start := 0, -1
	for n < len(b) {
		if t.requests.AtBoundary() {
			start, t.commandSize = n, 0
		}
		k, done, err := t.requests.Next(b[n:])
		n += k
		t.commandSize += int64(k)
		switch {
		case err != nil:
			// The server answers this itself, and closes.
			t.stop(Unfollowable)
			t.maxCommand = noLimit
			return Step{Send: len(b)}
		case t.commandSize+t.requests.Ahead() > t.maxCommand:
			return t.refuse(b, start)
		case t.switchTo != 0:
			t.requests.Rewind()
			return Step{Send: start, Insert: t.switchUpstream()}
		case !done && start >= 0 && !t.requests.AtBoundary() && (!t.requests.Named() || t.awaitsTimeout(n-start) || t.answersAuth(n-start)):
			t.requests.Rewind()
			return Step{Send: start, Hold: true}
		case !done:
			continue
		case t.requests.Args() == 0:
			// No reply comes, but for Redis it was the one next command.
			t.skipNext, t.prefixed = false, false
			continue
		case t.queue.full():
			t.stop(Unfollowable) // what is due already is still told apart
			return t.pass(b, n)
		}
		t.commands++
		if t.isPlain() {
			more := 0
			if start >= 0 && !want {
				k, more = t.requests.Run(b[start:n], b[n:], t.maxCommand)
				n += k
				t.commands += uint64(more)
			}
			t.queue.push(entry{kind: plain, n: 1 + more})
			if want && t.Deferred() == None {
				return Step{Send: n, Auth: true}
			}
			continue
		}
		e := t.remember(t.classify(), b, start, n)
		if e.kind == blocking && start >= 0 && t.shorten(b[start:n]) {
			return Step{Send: start, Skip: n - start}
		}
		if t.Authenticate != nil && start >= 0 {
			if step, ok := t.answerAuth(b[start:n], e); ok {
				step.Send, step.Skip = start, n-start
				return step
			}
		}
		t.sent(e)
		if t.stopped != None {
			return t.pass(b, n)
		}
		if t.mustAuth || want && t.Deferred() == None {
			return Step{Send: n, Auth: true}
		}
	}
	return Step{Send: n}
}

// Plain is Client for n whole commands that the caller vouches for: each is
// answered with one reply, and changes nothing. If it reports false they are for
// Client to see.
func (t *Tracker) Plain(n int) bool {
	if t.block != nil || t.stopped != None || !t.requests.AtBoundary() || t.skipNext || t.off || t.prefixed || t.upgraded || t.queue.full() {
		return false
	}
	t.withheld = false
	t.commands += uint64(n)
	t.queue.push(entry{kind: plain, n: n})
	return true
}

// behindBlock is Client while a blocking command is not answered for good.
func (t *Tracker) behindBlock(b []byte, want bool) Step {
	switch {
	case !t.block.pending():
		t.withheld = len(b) > 0
		return Step{Hold: true}
	case want && t.Deferred() == None:
		return Step{Auth: true}
	}
	return Step{Insert: t.insert()}
}

// isPlain reports whether the command just completed is one of the many that
// change nothing, where nothing is awaited from it: sent would only add it to
// the queue.
func (t *Tracker) isPlain() bool {
	return !t.special && !t.skipNext && !t.off && !t.prefixed
}

// sent records a command that the client has completed.
func (t *Tracker) sent(e entry) {
	t.prefixed = t.prefixes()
	t.tracking = t.tracking || t.usesClient("TRACKING")
	if t.skipNext {
		t.skipNext = false
		if e.kind != plain && e.kind != blocking {
			t.stop(Unfollowable) // a change of mode whose outcome nobody will see
			return
		}
		t.queue.push(entry{kind: skipped})
		return
	}
	if t.multi && t.mayHaveEnded() && (e.kind == subscribe || e.kind == unsubscribe) {
		t.doubted = true // the reply to EXEC tells
	} else if t.multi && !followableInMulti(e.kind) || t.off && !followableUnseen(e.kind) {
		t.stop(Unfollowable)
		t.queue.push(e) // an end of CLIENT REPLY OFF is still to be told from what is ours
		return
	}
	if t.off && e.kind != replyOn && e.kind != replyOff {
		// Nothing tells how these end. They are one run, however many they
		// are: behind CLIENT REPLY OFF nobody reads.
		t.unseenTx = t.unseenTx || e.kind == multi || e.kind == exec || e.kind == discard
		t.multi = e.kind == multi || t.multi && !t.endsForCertain(e.kind)
		t.queue.push(entry{kind: plain, n: 1})
		return
	}
	switch e.kind {
	case plain:
		if string(t.requests.Name()) == "QUIT" {
			t.stop(Quitting)
		}
	case multi:
		t.multi, t.ending = true, false
		t.txOpen++
	case exec, discard:
		t.multi, t.ending = t.multi && !t.endsForCertain(e.kind), t.requests.Args() == 1
		t.txOpen++
	case reset:
		t.ending = false
		t.txOpen++
		t.hello++
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
		if t.multi {
			e = entry{kind: plain, n: 1} // does not block there
			break
		}
		t.blocking++
	case monitor:
		if t.monitors() {
			t.stop(Monitoring) // a second one has no reply
			return
		}
		t.monOpen++
	case replyOff:
		t.unseenTx = t.unseenTx && t.off
		t.off = true
		t.switches++
		e.n = t.switches
	case replyOn:
		t.off, t.unseenTx = false, false
		t.switches++
	case replySkip:
		t.skipNext = true
	case replicate:
		t.stop(Replicating)
	}
	t.queue.push(e)
}

// endsForCertain reports whether the command just read, of that kind, ends a
// transaction. Where EXEC is refused the transaction stays open (Redis 6.0):
// only where it has been seen to work is the end taken for granted.
func (t *Tracker) endsForCertain(k kind) bool {
	return (k == exec || k == discard) && t.trusted[k-exec] && t.requests.Args() == 1
}

// mayHaveEnded reports whether the transaction is over unless an EXEC or
// DISCARD that has not been answered is refused.
func (t *Tracker) mayHaveEnded() bool { return t.ending && t.txOpen > 0 && !t.off && !t.unseenTx }

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
	case plain, multi, exec, discard, blocking, replyOff, replyOn, replySkip:
		return true
	}
	return false
}

// prefixes reports whether the command is one that changes only how the next
// is taken.
func (t *Tracker) prefixes() bool {
	return string(t.requests.Name()) == "ASKING" || t.usesClient("CACHING")
}

func (t *Tracker) usesClient(subcommand string) bool {
	return string(t.requests.Name()) == "CLIENT" && bytes.EqualFold(t.requests.Arg(1), []byte(subcommand))
}
