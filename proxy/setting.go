package proxy

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// Nearly every client begins with HELLO 3, CLIENT SETNAME or CLIENT SETINFO. If
// these made it keep an upstream of its own, hardly anything would be shared.
// So they travel over a pipe too, where they do no harm: the one to which HELLO
// goes speaks that protocol already, and a name is seen in CLIENT LIST only. What
// was accepted is said again on each upstream of the client's own.

// maxSetting bounds a command that is kept to be said again, in bytes.
const maxSetting = 1 << 10

var errRefused = errors.New("upstream refuses a setting")

// refusal is errRefused with what the cache said.
type refusal struct{ line string } // from its '-' on, without CRLF

func (e *refusal) Error() string        { return errRefused.Error() + ": " + e.line[1:] }
func (e *refusal) Is(target error) bool { return target == errRefused }

// lasts reports whether the cache does not know what it refuses, and will not soon.
func (e *refusal) lasts() bool {
	return strings.HasPrefix(e.line, "-NOPROTO") || strings.HasPrefix(e.line, "-ERR unknown command")
}

// settings are what a client has set on its connection.
type settings struct {
	proto         int    // 2 or 3
	helloName     []byte // set with HELLO, which an access policy lets through that refuses CLIENT
	name          []byte // as a command, if it was set by that
	libName, libV []byte // as commands
}

// set deals with the command last read if it makes a setting.
func (s *session) set() (done bool, err error) {
	r := &s.request
	switch {
	case r.is("HELLO"):
		return s.hello()
	case !r.is("CLIENT"):
		return false, nil
	case r.n == 3 && equalUpper(r.args[1], "SETNAME"):
		if err = s.keepIfAccepted(&s.settings.name); s.settings.name != nil {
			s.settings.helloName = nil
		}
	case r.n == 4 && equalUpper(r.args[1], "SETINFO") && equalUpper(r.args[2], "LIB-NAME"):
		err = s.keepIfAccepted(&s.settings.libName)
	case r.n == 4 && equalUpper(r.args[1], "SETINFO") && equalUpper(r.args[2], "LIB-VER"):
		err = s.keepIfAccepted(&s.settings.libV)
	default:
		return false, nil
	}
	return true, err
}

// keepIfAccepted sends the command last read over a pipe.
func (s *session) keepIfAccepted(in *[]byte) error {
	r := &s.request
	command := resp.AppendCommandBytes(nil, r.args[:r.n]...)
	if len(command) > maxSetting {
		return s.answer("-ERR entraredis: client name is too long\r\n")
	}
	kind, err := s.ask(command)
	if err == nil && kind == '+' {
		*in = command
	}
	return err
}

// ask sends a command over a pipe behind all others, and returns the type of
// its reply, which the client gets.
func (s *session) ask(command []byte) (kind byte, err error) {
	if err := s.settled(); err != nil {
		return 0, err
	}
	if err := s.submit(command, 1); err != nil {
		return 0, err
	}
	if err := s.settled(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kind, nil
}

// helloCommand is a HELLO of a client.
type helloCommand struct {
	proto              int
	auth               bool
	username, password []byte // of AUTH, as long as the request
	rest               []byte // for the cache: AUTH is the proxy's affair
	name               []byte // of SETNAME; nil without
}

// readHello reads the HELLO last read. It reports false of any with which the client
// is better off on an upstream of its own.
func readHello(r *strict) (h helloCommand, ok bool) {
	if r.n < 2 || !r.all || len(r.args[1]) != 1 || r.args[1][0] != '2' && r.args[1][0] != '3' {
		return h, false
	}
	h.proto = int(r.args[1][0] - '0')
	rest := r.args[:2:2]
	for i := 2; i < r.n; {
		switch {
		case !h.auth && i+2 < r.n && equalUpper(r.args[i], "AUTH"):
			h.auth, h.username, h.password = true, r.args[i+1], r.args[i+2]
			i += 3
		case h.name == nil && i+1 < r.n && equalUpper(r.args[i], "SETNAME"):
			rest = append(rest, r.args[i:i+2]...)
			h.name = append([]byte{}, r.args[i+1]...)
			i += 2
		default:
			return h, false
		}
	}
	h.rest = resp.AppendCommandBytes(nil, rest...)
	return h, len(h.name) <= maxSetting
}

// hello deals with a HELLO that asks for a protocol, with AUTH and SETNAME or without.
func (s *session) hello() (done bool, err error) {
	h, ok := readHello(&s.request)
	if !ok {
		return false, nil
	}
	if h.auth && !s.proxy.permits(h.username, h.password) {
		s.proxy.count(func(st *Stats) { st.LoginsFailed++ })
		return true, s.answer(replyWrongPass)
	}
	if err := s.settled(); err != nil {
		return true, err
	}
	before := s.settings.proto
	s.speak(h.proto)
	if s.pipe, err = s.hub.get(s.ctx, s.slot); err != nil {
		s.speak(before)
		refused, ok := errors.AsType[*refusal](err)
		switch {
		case ok && refused.lasts():
			err = s.answer(refused.line + "\r\n")
		case ok:
			return false, nil // the cache may say something else next time
		}
		return true, err
	}
	kind, err := s.ask(h.rest)
	switch {
	case err != nil:
	case kind == '-':
		s.speak(before)
	case h.name != nil:
		s.settings.helloName, s.settings.name = h.name, nil
	}
	return true, err
}

// speak makes the pipes of a protocol the client's.
func (s *session) speak(proto int) {
	if proto != s.settings.proto {
		s.settings.proto = proto
		s.pipe = nil
		s.slot = s.hub.slotFor(s.slot, proto)
	}
}

// handed is what a connection that served another client still has of it.
type handed struct {
	proto   int
	named   bool
	byHello bool
}

// settle makes the client's settings on an upstream that has been left in some
// state.
func (w *settings) settle(conn net.Conn, left handed, defaultName string) error {
	var commands []byte
	n := 0
	name := w.helloName
	if name == nil && w.name == nil && left.byHello {
		name = []byte(defaultName)
	}
	if w.proto != left.proto || name != nil {
		hello := [][]byte{[]byte("HELLO"), {'0' + byte(w.proto)}}
		if name != nil {
			hello = append(hello, []byte("SETNAME"), name)
		}
		commands = resp.AppendCommandBytes(commands, hello...)
		n++
	}
	if name == nil && w.name == nil && left.named {
		commands = resp.AppendCommand(commands, "CLIENT", "SETNAME", defaultName)
		n++
	}
	for _, c := range [][]byte{w.name, w.libName, w.libV} {
		if c != nil {
			commands = append(commands, c...)
			n++
		}
	}
	return exchange(conn, commands, n)
}

// left is what the settings leave on an upstream.
func (w *settings) left() handed { return handed{w.proto, w.name != nil, w.helloName != nil} }

// exchange sends n commands, none of which may be refused.
func exchange(conn net.Conn, commands []byte, n int) error {
	if n == 0 {
		return nil
	}
	conn.SetDeadline(time.Now().Add(defaultLoginTimeout))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write(commands); err != nil {
		return err
	}
	replies := resp.NewReader(conn)
	for range n {
		frame, err := replies.ReadFrame()
		if err != nil {
			return err
		}
		if frame[0] == '-' {
			return &refusal{string(bytes.TrimSpace(frame))}
		}
	}
	return nil
}
