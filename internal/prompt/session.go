package prompt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// Session is a conversation with one cache. It opens its connection with the
// first command, and another one when that has ended; the selected database
// goes with it. Dial must be set. A Session is used by one goroutine and must
// not be copied after first use; Close ends it.
type Session struct {
	// Dial opens a connection that is authenticated.
	Dial func(ctx context.Context) (net.Conn, error)

	// RESP3 has connections speak RESP3 where the service knows it.
	RESP3 bool

	// Push is given what comes out of turn, such as invalidations, before the
	// reply of the next command. Nil: it is dropped.
	Push func(Value)

	link   *link
	db     int
	tx     bool
	queued int // the database that EXEC will select; -1: none
}

// The ends of a command that have no reply.
var (
	// ErrLost says that the connection ended before the reply came. Whether
	// the command ran is not known, so it is not sent again.
	ErrLost = errors.New("connection lost before the reply; the command may have run")

	// ErrTransactionLost says that the connection ended between MULTI and EXEC.
	// Nothing of the transaction has run, nor has the command.
	ErrTransactionLost = errors.New("connection lost, and the transaction with it; nothing of it has run")

	// ErrNoReply says that the command is one that nobody would answer.
	ErrNoReply = errors.New("CLIENT REPLY OFF and SKIP are of no use here: without replies there is nothing to show")
)

// DB is the selected database.
func (s *Session) DB() int { return s.db }

// InTransaction reports whether MULTI waits for its EXEC.
func (s *Session) InTransaction() bool { return s.tx }

// Connected reports whether there is a connection, as far as is known.
func (s *Session) Connected() bool { return s.link != nil && !s.link.hasEnded() }

// Close ends the connection.
func (s *Session) Close() {
	if s.link != nil {
		s.link.conn.Close()
		close(s.link.left)
		s.link = nil
	}
}

// Do sends a command and gives show what comes back: one reply, except that
// SUBSCRIBE and MONITOR go on until ctx ends. The connection is closed then,
// and ctx's error returned: there is no other way out of a command under way.
// Errors of Dial are returned as they are; an error reply is a reply.
func (s *Session) Do(ctx context.Context, args [][]byte, show func(Value)) error {
	name := strings.ToUpper(string(args[0]))
	if name == "CLIENT" && len(args) == 3 && strings.EqualFold(string(args[1]), "REPLY") && !strings.EqualFold(string(args[2]), "ON") {
		return ErrNoReply
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.link.send(args); err != nil {
		s.drop()
		return lost(err)
	}
	streams, due := expect(name, len(args)-1)
	for due != 0 {
		v, err := s.receive(ctx)
		if err != nil {
			return err
		}
		if v.IsPush() && !isSubscription(name) {
			s.push(v)
			continue
		}
		show(v)
		s.follow(name, args, v)
		due--
		if v.IsError() || v.is("QUEUED") {
			return nil
		}
	}
	for streams {
		v, err := s.receive(ctx)
		if err != nil {
			return err
		}
		show(v)
	}
	return nil
}

func (s *Session) push(v Value) {
	if s.Push != nil {
		s.Push(v)
	}
}

// expect tells how a command is answered: how often, and whether messages
// follow without end.
func expect(name string, args int) (streams bool, replies int) {
	switch name {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		return true, max(1, args)
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		// Without arguments there is one for each subscription, and none is
		// left here behind a command, so then there is one.
		return false, max(1, args)
	case "MONITOR":
		return true, 1
	}
	return false, 1
}

func isSubscription(name string) bool { return strings.HasSuffix(name, "SUBSCRIBE") }

// follow keeps up with what a command has done to the connection.
func (s *Session) follow(name string, args [][]byte, reply Value) {
	switch name {
	case "MULTI":
		if reply.is("OK") {
			s.tx, s.queued = true, -1
		}
	case "EXEC":
		if s.tx && reply.Type == '*' && s.queued >= 0 {
			s.db = s.queued
		}
		s.tx = false
	case "DISCARD":
		s.tx = false
	case "RESET":
		if reply.is("RESET") {
			s.tx, s.db = false, 0
		}
	case "SELECT":
		db, err := strconv.Atoi(string(args[len(args)-1]))
		switch {
		case err != nil || len(args) != 2:
		case reply.is("OK"):
			s.db = db
		case reply.is("QUEUED"):
			s.queued = db
		}
	}
}

// connect sees to it that there is a connection. One that has ended while
// nothing was under way is replaced without a word, unless a transaction went
// with it.
func (s *Session) connect(ctx context.Context) error {
	if s.Connected() {
		return nil
	}
	s.Close()
	if s.tx {
		s.tx = false
		return ErrTransactionLost
	}
	conn, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	s.link = newLink(conn)
	if s.RESP3 {
		// Refused by a service that knows only RESP2, which will do.
		if _, err := s.ask(ctx, "HELLO", "3"); err != nil {
			return err
		}
	}
	if s.db != 0 {
		v, err := s.ask(ctx, "SELECT", strconv.Itoa(s.db))
		if err != nil {
			return err
		}
		if v.IsError() {
			err := fmt.Errorf("database %d cannot be selected again: %s", s.db, v.Text)
			s.db = 0
			return err
		}
	}
	return nil
}

// ask sends a command of our own, and returns its reply.
func (s *Session) ask(ctx context.Context, args ...string) (Value, error) {
	raw := make([][]byte, len(args))
	for i, arg := range args {
		raw[i] = []byte(arg)
	}
	if err := s.link.send(raw); err != nil {
		s.drop()
		return Value{}, lost(err)
	}
	for {
		v, err := s.receive(ctx)
		if err != nil || !v.IsPush() {
			return v, err
		}
	}
}

func (s *Session) receive(ctx context.Context) (Value, error) {
	select {
	case v, ok := <-s.link.frames:
		if ok {
			return v, nil
		}
		err := s.link.err
		s.drop()
		return Value{}, lost(err)
	case <-ctx.Done():
		s.drop()
		return Value{}, ctx.Err()
	}
}

// drop ends the connection with what it held.
func (s *Session) drop() {
	s.Close()
	s.tx = false
}

func lost(cause error) error { return fmt.Errorf("%w: %w", ErrLost, cause) }

// link is one connection. What comes is read at once, also when nobody waits
// for it, because only a read tells that the other side has ended it.
type link struct {
	conn   net.Conn
	frames chan Value // closed at the end, behind err
	err    error
	ended  chan struct{}
	left   chan struct{} // closed by the Session, which wants no more of it
}

// maxAhead bounds the frames that wait to be asked for.
const maxAhead = 1024

// sendTimeout bounds the sending of one command.
const sendTimeout = time.Minute

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, frames: make(chan Value, maxAhead), ended: make(chan struct{}), left: make(chan struct{})}
	go l.read()
	return l
}

func (l *link) read() {
	defer close(l.frames)
	replies := resp.NewReader(l.conn)
	for {
		frame, err := replies.ReadFrame()
		var v Value
		if err == nil {
			v, err = Parse(frame)
		}
		if err != nil {
			l.err = err
			l.conn.Close()
			close(l.ended)
			return
		}
		select {
		case l.frames <- v:
		case <-l.left:
			return
		}
	}
}

func (l *link) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

func (l *link) send(args [][]byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(resp.AppendCommandBytes(nil, args...))
	return err
}
