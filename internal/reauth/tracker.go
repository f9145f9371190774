// Package reauth follows both directions of one Redis connection and says when
// an AUTH command may be slipped in, and which bytes of the replies belong to
// it and must be kept from the client. It does no I/O.
//
// Its promise: the bytes the client sees are those of the same conversation
// without the AUTH. Where the state of the connection is in doubt (a MULTI
// that has not been answered, a command that may not have been permitted) the
// doubt forbids.
package reauth

import (
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// Reason says why no AUTH may be sent at this instant. The zero value means
// that it may.
type Reason string

// The reasons, as counters and logs name them.
const (
	None         Reason = ""
	HalfWritten  Reason = "half-written-command"
	Transaction  Reason = "transaction"
	Subscribed   Reason = "resp2-subscribed"
	Blocked      Reason = "blocking-command"
	Monitoring   Reason = "monitor"
	SkipsReply   Reason = "client-reply-skip"
	Prefixed     Reason = "prefix-command" // ASKING and CLIENT CACHING are for the one command behind them
	InFlight     Reason = "auth-in-flight"
	ClientsOwn   Reason = "client-authenticated-itself"
	Quitting     Reason = "quit"
	Replicating  Reason = "replication"
	Unfollowable Reason = "unfollowable" // malformed, or a mode that is changed inside a transaction or unseen
)

// Answer is the server's reply to an AUTH of ours.
type Answer struct {
	OK bool
	// Line is the error line, without its leading '-' and cut at 128 bytes.
	Line string
	// Unseen is set where no reply comes (CLIENT REPLY OFF): OK is assumed.
	// If one comes after all and is an error, this is the answer once more.
	Unseen bool
}

// Verdict says what is to be done with bytes from the server.
type Verdict uint8

const (
	Pass    Verdict = iota // the client's
	Swallow                // ours
	Hold                   // not known yet: the tracker keeps a copy, see TakeHeld
)

// Tracker follows one connection. The zero value is not ready: see [New]. It
// is not safe for concurrent use; calls of Client and Injected must be made in
// the order in which the bytes are sent.
type Tracker struct {
	// Block, if set, says what time it is and how long a command may block
	// from now on; longer ones are sent with shorter time-outs, again and
	// again. It is called by Client and Server.
	Block func() (now time.Time, longest time.Duration)

	// Authenticate, if set, answers the client's own AUTH and HELLO AUTH, which
	// then do not reach the server. It is called by Client.
	Authenticate func(username, password []byte) bool

	commands uint64 // of the client's, as long as they are followed

	// See Limit.
	maxCommand, maxReply   int64
	commandSize, replySize int64            // of what has come of the present one
	over                   *resp.LimitError // nil: nothing is

	requests resp.Requests
	replies  resp.Replies
	queue    queue // what is still to be answered

	// What kinds says of the name of the command that was begun last.
	command entry
	special bool // it is there

	// What the bytes sent so far say, with doubt counted as yes.
	stopped  Reason // final: the request stream is no longer read
	multi    bool   // in a transaction
	txOpen   int    // MULTI, EXEC, DISCARD and RESET not answered yet
	ending   bool   // the last of them is EXEC or DISCARD: multi is a doubt
	doubted  bool   // an (un)subscription was sent in such a doubt
	subOpen  int    // (un)subscriptions not answered yet
	hello    int    // HELLO and RESET not answered yet
	blocking int    // blocking commands not answered yet
	ownAuth  int    // AUTH and HELLO ... AUTH of the client not answered yet
	inFlight int    // AUTH of ours not answered yet
	monOpen  int    // MONITOR not answered yet
	off      bool   // behind CLIENT REPLY OFF
	switches int    // CLIENT REPLY OFF and ON sent
	unseenTx bool   // a transaction was begun or ended there
	skipNext bool   // behind CLIENT REPLY SKIP
	prefixed bool   // behind ASKING or CLIENT CACHING
	tracking bool   // CLIENT TRACKING was used
	upgraded bool   // upstream speaks RESP3, on our initiative, to a client that does not
	block    *block // that is not answered for good yet
	withheld bool   // Client held back what stands behind it
	standsIn answer // the AUTH that is injected next, for one of the client's
	switchTo int    // the protocol that upstream has to speak before the command that has begun
	// mustAuth: the last command was a RESET, which logs the connection out.
	mustAuth bool

	// What the replies seen so far say.
	seenMulti   bool
	seenProto   int  // that upstream speaks
	clientProto int  // that the client expects: 2 where seenProto is 3 on our initiative
	noUpgrade   bool // HELLO 3 is refused here
	seenSubs    subscriptions
	seenMonitor bool
	clientAuth  bool
	trusted     [2]bool // EXEC, DISCARD: permitted on this connection
	raw         bool    // the reply stream is no longer RESP
	verdict     Verdict
	pushing     bool // the frame being read is a push
	rewriting   bool // the frame being held is one to rewrite for a RESP2 client
	held        []byte
	answers     []Answer

	// For a handover: see handover.go.
	stands   *standing // nil: nothing was set or subscribed yet, or pinned
	pinned   bool      // another connection cannot be given all that this one has
	watching bool      // keys, for a transaction
	noting   bool      // the frame being read may be the confirmation of a subscription
	frame    []byte    // what has come of it
}

// New returns a Tracker of a connection that speaks RESP2 and is idle.
func New() *Tracker {
	t := &Tracker{seenProto: 2, clientProto: 2, maxCommand: noLimit, maxReply: noLimit}
	t.requests.Keep = t.keep
	return t
}

// Commands is how many commands Client has come past, those that were answered
// for the server included. It stays where it is once the stream is no longer
// followed.
func (t *Tracker) Commands() uint64 { return t.commands }

// Deferred says why no AUTH may be sent right behind the bytes that Client was
// given so far; None if it may.
func (t *Tracker) Deferred() Reason {
	switch {
	case t.stopped != None:
		return t.stopped
	case t.clientAuth || t.ownAuth > 0:
		return ClientsOwn
	case !t.requests.AtBoundary():
		return HalfWritten
	case t.skipNext:
		return SkipsReply
	case t.prefixed:
		return Prefixed
	case t.multi:
		return Transaction
	case t.subscribedRESP2():
		return Subscribed
	case t.blocking > 0:
		return Blocked
	case t.monitors():
		return Monitoring
	case t.inFlight > 0:
		return InFlight
	}
	return None
}

// subscribedRESP2 reports whether the server may be in the mode in which it
// takes nothing but (un)subscriptions.
func (t *Tracker) subscribedRESP2() bool {
	return t.Subscribes() && (t.seenProto != 3 || t.hello > 0)
}

// Subscribes reports whether the connection has a subscription, or asks for one
// or for its end.
func (t *Tracker) Subscribes() bool { return t.subOpen > 0 || t.seenSubs.any() }

// monitors reports whether the server may be sending the MONITOR stream.
func (t *Tracker) monitors() bool { return t.monOpen > 0 || t.seenMonitor }

// ClientWaits reports whether a reply is due to the client for certain, so that
// it may be expected to read.
func (t *Tracker) ClientWaits() bool {
	if t.block != nil {
		return true
	}
	unseen := false
	for i := range t.queue.len {
		switch e := t.queue.at(i); e.kind {
		case auth:
			if e.answer != nothing {
				return true
			}
		case authUnseen, ownHello, replySkip, skipped:
		case replyOff:
			unseen = true
		case replyOn:
			return true
		default:
			if !unseen {
				return true
			}
		}
	}
	return false
}

// Injected records that an AUTH of ours was put behind the bytes that Client
// was given so far.
func (t *Tracker) Injected() {
	t.mustAuth = false
	e := entry{kind: auth, answer: t.standsIn}
	t.standsIn = nothing
	if t.off {
		// If CLIENT REPLY OFF was refused after all, the reply is still ours.
		e.kind = authUnseen
		t.queue.push(e)
		t.answers = append(t.answers, Answer{OK: true, Unseen: true})
		return
	}
	t.inFlight++
	t.queue.push(e)
}

// TakeAnswer returns the oldest answer to an AUTH of ours that has not been
// taken yet.
func (t *Tracker) TakeAnswer() (Answer, bool) {
	if len(t.answers) == 0 {
		return Answer{}, false
	}
	a := t.answers[0]
	t.answers = append(t.answers[:0], t.answers[1:]...)
	return a, true
}

// Broken says that bytes given to Client did not all reach the server: where
// the stream stands is unknown from now on.
func (t *Tracker) Broken() {
	t.stop(Unfollowable)
	t.block = nil // cannot be sent again; what stands behind it need not wait
}

func (t *Tracker) stop(why Reason) {
	if t.stopped == None {
		t.stopped = why
	}
}
