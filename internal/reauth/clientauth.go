package reauth

import (
	"bytes"

	"github.com/entraredis/entraredis/internal/resp"
)

// answer is one of ours to the client.
type answer uint8

const (
	nothing answer = iota
	accepted
	refused
)

// reply returns the answer as Redis gives it.
func (a answer) reply() string {
	switch a {
	case accepted:
		return "+OK\r\n"
	case refused:
		return "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	}
	return ""
}

// answersAuth reports whether the command that has begun is one with which the
// client may authenticate, and which is not upstream's affair.
func (t *Tracker) answersAuth(size int) bool {
	if t.Authenticate == nil || size > maxHolding || t.stopped != None {
		return false
	}
	switch string(t.requests.Name()) {
	case "AUTH", "HELLO":
		return true
	}
	return false
}

// answerAuth deals with the complete AUTH or HELLO in raw. It reports whether
// the returned step stands for it; if not, it goes out as it is.
//
// The answer has to come in its turn, so something goes upstream in its place:
// an AUTH of ours, whose reply is replaced. Where that may not stand, a PING,
// which changes nothing: there the client's AUTH is not what it seems either.
func (t *Tracker) answerAuth(raw []byte, e entry) (Step, bool) {
	if !t.answersAuth(len(raw)) {
		return Step{}, false
	}
	args, err := resp.NewReader(bytes.NewReader(raw)).ReadCommand()
	if err != nil {
		return Step{}, false
	}
	switch e.kind {
	case clientAuth:
		var ok bool
		switch len(args) {
		case 2:
			ok = t.Authenticate([]byte("default"), args[1])
		case 3:
			ok = t.Authenticate(args[1], args[2])
		default:
			return Step{}, false // refused for its form
		}
		return t.standIn(ok), true
	case hello:
		at := helloAuth(args)
		if at == 0 {
			return Step{}, false
		}
		if !t.Authenticate(args[at+1], args[at+2]) {
			return t.standIn(false), true
		}
		without := append(args[:at:at], args[at+3:]...)
		t.sent(entry{kind: hello, n: e.n, bare: len(without) == 2})
		return Step{Insert: resp.AppendCommandBytes(nil, without...)}, true
	}
	return Step{}, false
}

// helloAuth returns the index of AUTH in a HELLO that has a whole one.
func helloAuth(args [][]byte) int {
	for i := 2; i < len(args); i += 2 {
		if bytes.EqualFold(args[i], []byte("AUTH")) {
			if i+2 < len(args) {
				return i
			}
			return 0
		}
	}
	return 0
}

func (t *Tracker) standIn(ok bool) Step {
	a := refused
	if ok {
		a = accepted
	}
	switch t.Deferred() {
	case None, InFlight, Blocked:
		t.standsIn = a
		return Step{Auth: true}
	}
	if t.skipNext || t.off {
		t.sent(entry{kind: plain, n: 1}) // nobody sees the reply
	} else {
		t.prefixed = false
		t.queue.push(entry{kind: standIn, answer: a})
	}
	return Step{Insert: resp.AppendCommand(nil, "PING")}
}
