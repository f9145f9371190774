//go:build unix

package reauth_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// follower is what a [reauth.Tracker] is to those who carry the bytes.
type follower interface {
	Client(b []byte, want bool) reauth.Step
	Server(b []byte) (n int, v reauth.Verdict, err error)
	TakeHeld() []byte
	Deferred() reauth.Reason
	Injected()
	TakeAnswer() (reauth.Answer, bool)
	Ready() bool
	Broken()
}

// leg is a conversation with one server: the bytes as they are or, with a
// follower, with re-AUTHs between them. Both wait at the same points.
type leg struct {
	*script
	server *server
	c      *link
	ids    *strings.Replacer
	follow follower
	twin   *outcome // of the leg without re-AUTH

	offered []byte // what the client sends, not followed yet
	marks   []mark // in offered
	tail    []byte // what the follower held back
	out     []byte // to be written
	inbox   []byte // come, and not read by the client
	piece   int    // how many there were
	allowed int    // how much may still come before the connection is lost; -1: all
	over    bool
	bcast   bool   // Redis sends invalidations when it has read all there is, so both legs send at the same points
	due     []bool // re-AUTHs asked for: whether they will be refused
	sent    []bool // re-AUTHs not answered

	outcome
	injected, refusals int
}

// mark is something that happens when so many of the offered bytes are sent.
type mark struct {
	event
	at int
}

// outcome is what can be seen of a conversation from outside.
type outcome struct {
	seen   []byte
	points []int    // how much was seen, each time that all was
	others []string // replies on the other connection
	freed  int      // how often a block had to be ended at the end
	ended  bool
	digest string
}

// hold holds the whole conversation.
func (l *leg) hold() error {
	defer l.c.Close()
	l.ids = strings.NewReplacer("$id", l.c.id, "$other", l.server.world.id)
	l.allowed = -1
	l.bcast = l.mentions("BCAST")
	for _, e := range l.events {
		if l.over {
			break
		}
		if err := l.happen(e); err != nil {
			return fmt.Errorf("at %q: %w", e, err)
		}
	}
	if err := l.end(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	l.ended = l.c.ended
	var err error
	l.digest, err = l.server.settle()
	return err
}

func (l *leg) happen(e event) error {
	switch e.verb {
	case sends, inlines, raw:
		l.offered = append(l.offered, e.bytes(l.ids)...)
		if l.bcast {
			return l.carry()
		}
	case other:
		if err := l.point(); err != nil || l.over {
			return err
		}
		return l.elsewhere(e)
	case asks, refused, cut:
		if l.follow != nil {
			l.marks = append(l.marks, mark{e, len(l.offered) + e.n})
		}
	case reads, lost:
		if l.follow == nil {
			return nil
		}
		if err := l.carry(); err != nil {
			return err
		}
		if e.verb == lost {
			l.allowed = e.n
			return nil
		}
		n := e.n
		if n == 0 {
			n = len(l.inbox)
		}
		return l.learn(n)
	}
	return nil
}

// elsewhere lets somebody else act. Whom a CLIENT UNBLOCK is meant for may
// be between two blocks that look like one.
func (l *leg) elsewhere(e event) error {
	words := strings.Split(l.ids.Replace(strings.Join(e.words, "\x00")), "\x00")
	for deadline := time.Now().Add(time.Second); ; {
		r, err := l.server.elsewhere(words)
		if err != nil {
			return err
		}
		if l.longest > 0 && l.follow != nil && strings.EqualFold(words[0], "CLIENT") && time.Now().Before(deadline) &&
			len(l.others) < len(l.twin.others) && r != l.twin.others[len(l.others)] {
			if err := l.turn(); err != nil {
				return err
			}
			continue
		}
		l.others = append(l.others, r)
		return nil
	}
}

// carry sends what is offered and waits until the server has executed it.
func (l *leg) carry() error {
	if err := l.pass(); err != nil {
		return err
	}
	return l.exchange()
}

func (l *leg) exchange() error {
	l.c.write(l.out)
	l.out = l.out[:0]
	if err := l.server.sync(l.c); err != nil {
		return err
	}
	before := len(l.inbox)
	l.inbox = l.c.available(l.inbox)
	// What does not fit into the socket comes when there is room again.
	for got := len(l.inbox) - before; got >= 32<<10 && !l.c.ended; got = len(l.inbox) - before {
		before = len(l.inbox)
		if err := l.server.sync(l.c); err != nil {
			return err
		}
		l.inbox = l.c.available(l.inbox)
	}
	if l.follow == nil {
		l.seen, l.inbox = append(l.seen, l.inbox...), l.inbox[:0]
	}
	return nil
}

// point is a place of the conversation that both legs come to, in the same
// state: everything sent is executed, except behind a patient block.
func (l *leg) point() error {
	if err := l.carry(); err != nil {
		return err
	}
	if l.has(blockers...) {
		if err := l.unblocked(); err != nil {
			return err
		}
	}
	l.points = append(l.points, len(l.seen))
	return nil
}

// unblocked waits until blocks that end by themselves have ended, and until
// shortened ones have been sent again as often as it takes.
func (l *leg) unblocked() error {
	for deadline := time.Now().Add(30 * time.Second); !l.c.ended && !l.over && time.Now().Before(deadline); {
		if l.follow != nil && l.longest > 0 {
			if err := l.learn(len(l.inbox)); err != nil {
				return err
			}
			if len(l.out) > 0 {
				if err := l.exchange(); err != nil {
					return err
				}
				continue
			}
		}
		waits := l.longest > 0 && l.follow != nil && len(l.points) < len(l.twin.points) && len(l.seen) < l.twin.points[len(l.points)]
		if !waits && l.patient() {
			return nil
		}
		blocked, err := l.server.blocked(l.c.id)
		if err != nil {
			return err
		}
		if !blocked && !waits {
			return l.exchange() // what it said last may not have been written when we asked
		}
		l.c.wait(20 * time.Millisecond)
		if err := l.exchange(); err != nil {
			return err
		}
	}
	return nil
}

// turn sends again what is to be sent behind the turn of a shortened block
// that has ended. It is no point: the other leg has none there.
func (l *leg) turn() error {
	if err := l.learn(len(l.inbox)); err != nil {
		return err
	}
	return l.exchange()
}

// end lets everything come to its end, and reads it.
func (l *leg) end() error {
	if l.over {
		l.c.write(l.out)
		l.out = nil
		l.c.closeWrite()
		if err := l.exchange(); err != nil {
			return err
		}
		return l.learn(len(l.inbox))
	}
	if err := l.point(); err != nil {
		return err
	}
	// Whose connection was lost has nothing to wait for: what is freed is not counted there.
	for deadline := time.Now().Add(30 * time.Second); l.has(blockers...) && !l.c.ended && !l.over && time.Now().Before(deadline); {
		// Others may stand behind it.
		if l.longest > 0 && l.follow != nil {
			if l.freed == l.twin.freed {
				break
			}
		} else if blocked, err := l.server.blocked(l.c.id); err != nil {
			return err
		} else if !blocked {
			break
		}
		r, err := l.server.control.do("CLIENT", "UNBLOCK", l.c.id, "ERROR")
		if err != nil {
			return err
		}
		next := l.point
		if r == ":1\r\n" {
			l.freed++
		} else if l.follow != nil {
			next = l.turn
		}
		if err := next(); err != nil {
			return err
		}
	}
	if l.follow == nil {
		return nil
	}
	// A block that nothing ends would be sent again for ever.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err := l.learn(len(l.inbox)); err != nil {
			return err
		}
		more := len(l.out) > 0
		if !more && len(l.seen) < len(l.twin.seen) && !l.c.ended && l.late() {
			l.c.wait(time.Second)
			more = true
		}
		if !more || l.over {
			return nil
		}
		before := len(l.inbox)
		if err := l.exchange(); err != nil || len(l.inbox) == before && l.late() {
			return err
		}
	}
	return errors.New("a command is sent again and again")
}

// late reports whether bytes may come later than the server has written them.
func (l *leg) late() bool { return l.c.secure || l.longest > 0 }

func (l *leg) size() int {
	if len(l.pieces) == 0 {
		return 1 << 30
	}
	l.piece++
	return l.pieces[l.piece%len(l.pieces)]
}

// pass lets the follower see what is offered, in pieces.
func (l *leg) pass() error {
	b := l.offered
	l.offered = nil
	if l.follow == nil {
		l.out = append(l.out, b...)
		return nil
	}
	for pos := 0; !l.over; {
		end := min(len(b), pos+l.size())
		marks := l.marks[:0]
		for _, m := range l.marks {
			if m.at > pos && pos < len(b) {
				marks = append(marks, m)
				end = min(end, m.at)
				continue
			}
			l.reach(m.event)
		}
		l.marks = marks
		if pos == len(b) || l.over {
			return nil
		}
		l.send(b[pos:end])
		pos = end
	}
	return nil
}

func (l *leg) reach(e event) {
	switch e.verb {
	case cut:
		l.follow.Broken()
		l.over = true
	case asks, refused:
		l.due = append(l.due, e.verb == refused)
		l.tryInject()
	}
}

// send carries bytes of the client's as the connection of the root package does.
func (l *leg) send(b []byte) {
	b = append(l.tail, b...)
	l.tail = nil
	for {
		l.tryInject()
		step := l.follow.Client(b, len(l.due) > 0)
		l.out = append(append(l.out, b[:step.Send]...), step.Insert...)
		b = b[step.Send+step.Skip:]
		if step.Auth {
			l.inject()
		}
		switch {
		case step.Hold:
			l.tail = append([]byte{}, b...)
			return
		case !step.Auth && step.Insert == nil && step.Skip == 0 && len(b) == 0:
			return
		}
	}
}

func (l *leg) tryInject() {
	if len(l.due) > 0 && l.follow.Deferred() == reauth.None {
		l.inject()
	}
}

var (
	goodAuth = resp.AppendCommand(nil, "AUTH", "entra", "secret")
	badAuth  = resp.AppendCommand(nil, "AUTH", "entra", "expired")
)

func (l *leg) inject() {
	bad := false
	if len(l.due) > 0 {
		bad, l.due = l.due[0], l.due[1:]
	}
	l.injected++
	l.follow.Injected()
	l.sent = append(l.sent, bad)
	if bad {
		l.refusals++
		l.out = append(l.out, badAuth...)
		return
	}
	l.out = append(l.out, goodAuth...)
}

// learn reads the next n bytes that have come.
func (l *leg) learn(n int) error {
	n = min(n, len(l.inbox))
	take := l.inbox[:n]
	for len(take) > 0 && !l.over {
		size := min(len(take), l.size())
		if l.allowed >= 0 {
			size = min(size, l.allowed)
			l.allowed -= size
			l.over = l.allowed == 0
		}
		if err := l.receive(take[:size]); err != nil {
			return err
		}
		take = take[size:]
	}
	l.inbox = append(l.inbox[:0], l.inbox[n-len(take):]...)
	return l.answered() // behind CLIENT REPLY OFF none comes
}

func (l *leg) receive(b []byte) error {
	for len(b) > 0 {
		n, v, err := l.follow.Server(b)
		if err != nil {
			return fmt.Errorf("server bytes %.200q: %w", b, err)
		}
		l.seen = append(l.seen, l.follow.TakeHeld()...)
		if v == reauth.Pass {
			l.seen = append(l.seen, b[:n]...)
		}
		b = b[n:]
	}
	l.tryInject()
	if l.follow.Ready() {
		l.send(nil)
	}
	return l.answered()
}

// answered takes the answers that have come to re-AUTHs.
func (l *leg) answered() error {
	for {
		a, ok := l.follow.TakeAnswer()
		switch {
		case !ok:
			return nil
		case a.Unseen && !a.OK:
			continue // CLIENT REPLY OFF was refused, so that the reply did come
		case a.Unseen:
		case len(l.sent) == 0:
			return fmt.Errorf("answer %+v to no re-AUTH", a)
		case a.OK == l.sent[0]:
			return fmt.Errorf("answer %+v to a re-AUTH that is refused: %v", a, l.sent[0])
		}
		l.sent = l.sent[1:]
	}
}
