package reauth

import "bytes"

// maxHeld bounds what is kept of an error line whose owner is not known yet.
const maxHeld = 4 << 10

// Server takes bytes from the server and says what is to be done with the
// first n of them: the next call takes the rest. Bytes held back earlier that
// turn out to be the client's are in TakeHeld, to be delivered before these.
// An error means that the stream is not RESP; the connection is then of no
// further use.
func (t *Tracker) Server(b []byte) (n int, v Verdict, err error) {
	for n < len(b) {
		push, begins := -1, false
		if t.replies.AtBoundary() {
			if k := t.plainReplies(b[n:], n == 0); k > 0 {
				n += k
				continue
			}
			begins, t.replySize = true, 0
			next := t.begins(b[n:])
			if n > 0 && next != t.verdict {
				return n, t.verdict, nil
			}
			t.verdict = next
			t.noting = t.notes(b[n])
			if t.raw {
				return len(b), Pass, nil
			}
			if t.pushing && t.translates() {
				push = n
			}
		}
		k, done, err := t.replies.Next(b[n:])
		if t.replySize += int64(k); t.replySize+t.replies.Ahead() > t.maxReply && t.exceeds(begins) {
			return n, t.verdict, t.over
		}
		if t.verdict == Hold {
			return t.hold(b[:k], done, err)
		}
		if push >= 0 {
			b[push] = '*' // in RESP2 a message is an array
		}
		if t.noting {
			t.note(b[n:n+k], done)
		}
		n += k
		if err != nil {
			return n, t.verdict, err
		}
		if done {
			t.ended()
			if t.noting {
				t.frame = nil
			}
		}
	}
	return n, t.verdict, nil
}

// plainReplies is Server for as many replies at the beginning of b, first or not,
// as nothing need be known of but where they end. It returns their length.
func (t *Tracker) plainReplies(b []byte, first bool) int {
	if !first && t.verdict != Pass || !t.queue.awaits(plain) || t.seenMonitor || t.seenSubs.any() || t.translates() {
		return 0
	}
	n, replies := t.replies.Run(b, t.queue.front().n, t.maxReply)
	if replies > 0 {
		t.verdict, t.pushing, t.noting = Pass, false, false
		t.queue.drop(replies)
	}
	return n
}

// TakeHeld returns bytes that were held back and are the client's, if any.
func (t *Tracker) TakeHeld() []byte {
	if t.verdict == Hold {
		return nil
	}
	b := t.held
	t.held = nil
	return b
}

// begins decides whose frame it is that begins with b.
func (t *Tracker) begins(b []byte) Verdict {
	c := b[0]
	t.pushing = c == '>'
	if t.rewriting = t.rewrites(b); t.rewriting {
		return Hold
	}
	if t.pushing {
		return Pass
	}
	for !t.queue.empty() {
		switch t.queue.front().kind {
		case auth, authUnseen:
			switch {
			case c == '+' && t.seenMonitor:
				return Hold // or a line of the stream
			case c == '+' || c == '-':
				return Swallow
			}
			return Pass // a message to a RESP2 subscriber: AUTH has only these two replies
		case ownHello:
			if c == '-' || t.seenProto != t.queue.front().n {
				return Swallow
			}
			return Pass // a message, before the refusal to switch to what is spoken anyway
		case shortened:
			if t.block != nil && t.holdsReply(c) {
				return Hold
			}
		case standIn:
			if c == '+' {
				return Hold
			}
		case lookup:
			return Hold
		case replicate:
			t.raw = true
			return Pass
		case replyOff, replySkip:
			switch {
			case c == '*' && t.seenProto == 2 && t.seenSubs.any():
				return Pass // a message to a RESP2 subscriber, to whom both are refused
			case c == '+' && t.seenMonitor:
				return Hold // a line of the stream, or the answer to a later command
			case c == '-' && t.queue.awaits(replySkip):
				return Hold // its own refusal, or the answer to a later command
			case c == '-':
				return Pass // refused: had it worked, the next reply would be OK to CLIENT REPLY ON
			}
			t.dropUnseen()
			continue
		}
		return Pass
	}
	return Pass
}

// dropUnseen drops a CLIENT REPLY OFF or SKIP that worked, and what was sent
// behind it and is not answered: the one next command, or all up to the CLIENT
// REPLY ON that ended it.
func (t *Tracker) dropUnseen() {
	k := t.queue.front().kind
	t.queue.pop()
	for !t.queue.empty() {
		e := t.queue.front()
		if k == replySkip && e.kind != skipped || e.kind == replyOn {
			return
		}
		*e = entry{} // whole runs at once
		t.queue.pop()
	}
}

// hold keeps a line until it is known who it is for.
func (t *Tracker) hold(b []byte, done bool, err error) (int, Verdict, error) {
	t.held = append(t.held, b...)
	switch {
	case t.rewriting:
		return t.rewrite(len(b), done, err)
	case t.queue.awaits(lookup):
		return t.holdLookup(len(b), done, err)
	case t.queue.awaits(shortened) && t.block != nil:
		return t.holdReply(len(b), done, err)
	}
	if err != nil || len(t.held) > maxHeld {
		t.verdict = Pass
		t.stop(Unfollowable)
		return len(b), Swallow, err // what TakeHeld returns includes b
	}
	if !done {
		return len(b), Hold, nil
	}
	t.verdict = Pass
	if !t.monitored() {
		t.dropAnswered()
		switch {
		case t.queue.awaits(auth, authUnseen):
			t.held = nil
		case t.queue.awaits(lookup):
			return t.holdLookup(len(b), true, nil)
		case t.queue.awaits(shortened) && t.block != nil:
			return t.holdReply(len(b), true, nil)
		case t.queue.awaits(standIn) && string(t.held) == "+PONG\r\n":
			t.held = append(t.held[:0], t.queue.front().answer.reply()...)
		}
	}
	t.ended()
	return len(b), Swallow, nil
}

// dropAnswered drops the CLIENT REPLY OFF and SKIP that worked, as the line
// tells that was held: it is not the refusal of the oldest.
func (t *Tracker) dropAnswered() {
	refusal := t.replies.Type() == '-'
	for {
		switch {
		case t.queue.awaits(replySkip) && !(refusal && refusesClientReply(t.replies.Line())):
		case t.queue.awaits(replyOff) && !refusal:
		default:
			return
		}
		t.dropUnseen()
	}
}

// refusesClientReply tells the refusal of CLIENT REPLY itself (not permitted,
// not known to the service, not to a RESP2 subscriber) from the error of
// another command. Redis 7 and unknown commands name the subcommand, Redis 6.0
// does not.
func refusesClientReply(line []byte) bool {
	line = bytes.ToLower(line)
	if bytes.HasPrefix(line, []byte("err wrong number")) {
		return false // it is sent with the right one
	}
	return bytes.Contains(line, []byte("client")) && bytes.Contains(line, []byte("reply")) ||
		bytes.HasPrefix(line, []byte("noperm")) && bytes.Contains(line, []byte("'client' command")) ||
		bytes.Contains(line, []byte("can't execute 'client'"))
}

// ended runs when a whole frame has been read.
func (t *Tracker) ended() {
	typ := t.replies.Type()
	if t.subscription() || typ == '>' || t.monitored() || t.queue.empty() {
		return
	}
	e := *t.queue.front()
	ok := typ != '-' && typ != '!'
	t.took(e, ok)
	switch e.kind {
	case auth, authUnseen:
		if typ != '+' && typ != '-' {
			return
		}
		t.answered(e.kind)
		t.held = append(t.held, e.answer.reply()...)
	case clientAuth:
		t.ownAuth--
		t.clientAuth = t.clientAuth || ok
	case ownHello:
		t.hello--
		if ok {
			t.seenProto = e.n
		} else if e.n == 3 {
			t.noUpgrade = true
		}
	case hello:
		t.hello--
		if ok && e.n != 0 {
			t.seenProto, t.clientProto = e.n, e.n
		}
		if e.login {
			t.ownAuth--
			t.clientAuth = t.clientAuth || ok
		}
	case multi:
		t.transaction(t.seenMulti || ok)
	case exec, discard:
		over := ok || endsTransaction(t.replies.Line())
		t.trusted[e.kind-exec] = t.trusted[e.kind-exec] || over
		if t.seenMulti && !over && t.doubted {
			t.stop(Unfollowable)
		}
		t.transaction(t.seenMulti && !over)
	case reset:
		t.hello--
		if ok {
			t.seenProto, t.clientProto, t.seenSubs, t.seenMonitor, t.clientAuth = 2, 2, subscriptions{}, false, false
		}
		t.transaction(t.seenMulti && !ok)
	case subscribe, unsubscribe:
		t.subOpen-- // an error answers all of them at once
	case blocking:
		t.blocking--
	case shortened:
		t.blocking--
		t.block = nil
	case monitor:
		t.monOpen--
		t.seenMonitor = ok
	case replyOff: // refused
		if e.n != t.switches {
			break // what was sent since says how it is
		}
		t.off = false
		if t.unseenTx {
			t.stop(Unfollowable)
		}
	case replySkip: // refused
		if t.queue.len == 1 { // what stands behind it is the command it was for
			t.skipNext = false
		}
	}
	t.queue.pop()
}

func (t *Tracker) answered(k kind) {
	if k == auth {
		t.inFlight--
	}
	a := Answer{OK: t.replies.Type() == '+' && string(t.replies.Line()) == "OK"}
	switch {
	case !a.OK:
		a.Line = string(t.replies.Line())
		a.Unseen = k == authUnseen
	case k == authUnseen:
		return // as was assumed
	}
	t.answers = append(t.answers, a)
}

// transaction records whether the connection is in one, after an answer that
// tells. What was sent since may have changed it again; only when nothing of
// the kind is open, seen or unseen, does the answer hold for the present.
func (t *Tracker) transaction(in bool) {
	t.seenMulti = in
	if t.txOpen--; t.txOpen == 0 && !t.unseenTx {
		t.multi = in
	}
	if t.txOpen == 0 {
		t.ending, t.doubted = false, false
	}
}

// endsTransaction reports whether an error in reply to EXEC or DISCARD leaves
// the connection outside a transaction: it was not in one, was aborted, or a
// cluster node sent it elsewhere. Any other refusal leaves it open.
func endsTransaction(line []byte) bool {
	for _, p := range []string{"EXECABORT", "ERR EXEC without MULTI", "ERR DISCARD without MULTI",
		"MOVED ", "ASK ", "TRYAGAIN", "CROSSSLOT", "CLUSTERDOWN"} {
		if bytes.HasPrefix(line, []byte(p)) {
			return true
		}
	}
	return false
}

// monitored reports whether the frame is a line of the MONITOR stream, which
// begins with a time stamp: "1339518083.107412 [0 127.0.0.1:60866] ...".
func (t *Tracker) monitored() bool {
	if !t.seenMonitor || t.replies.Type() != '+' {
		return false
	}
	seconds, rest, ok := bytes.Cut(t.replies.Line(), []byte("."))
	micros, _, bracket := bytes.Cut(rest, []byte(" ["))
	return ok && bracket && isNumber(seconds) && isNumber(micros)
}

func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
