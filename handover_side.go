package entraredis

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"slices"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

const (
	// maxCarried bounds what is read ahead of the client in a handover, in
	// bytes.
	maxCarried = 4 << 20

	// maxSums bounds how many messages are remembered to compare the two
	// streams by.
	maxSums = 64 << 10
)

var (
	errTooMuchCarried = errors.New("more messages than can be held for the client")
	errUnasked        = errors.New("the service ended a subscription meanwhile")
)

// refusedError is an error line in reply to a command of ours.
type refusedError struct{ line string }

func (e *refusedError) Error() string { return "redis replied " + quoteLine(e.line) }

// side is one of the two connections between which a handover takes place.
type side struct {
	net.Conn
	veil *reauth.Veil
	// take gets what is the client's, valid during the call.
	take func([]byte) error
	buf  []byte
	rest []byte // of buf: read and not looked at

	// What becomes of an error; nil for the new connection, which is ours.
	readFailed, writeFailed func(error)

	sum  maphash.Hash // of the present frame
	sums []uint64     // of the last messages
}

func newSide(c net.Conn, veil *reauth.Veil, seed maphash.Seed) *side {
	s := &side{Conn: c, veil: veil, buf: make([]byte, 16<<10), take: func([]byte) error { return nil }}
	s.sum.SetSeed(seed)
	return s
}

// next reads to the end of the next frame.
func (s *side) next() (reauth.Sign, error) {
	for {
		if len(s.rest) == 0 {
			n, err := s.Read(s.buf)
			if s.rest = s.buf[:n]; n == 0 && err != nil {
				if s.readFailed != nil {
					s.readFailed(err)
				}
				return 0, err
			}
		}
		n, out, sign, err := s.veil.Next(s.rest)
		s.rest = s.rest[n:]
		if len(out) > 0 {
			s.sum.Write(out)
			if err := s.take(out); err != nil {
				return 0, err
			}
		}
		if err != nil {
			return 0, err
		}
		if sign == reauth.Part {
			continue
		}
		if sign == reauth.Message {
			if len(s.sums) >= maxSums {
				s.sums = slices.Delete(s.sums, 0, maxSums/2)
			}
			s.sums = append(s.sums, s.sum.Sum64())
		}
		s.sum.Reset()
		return sign, nil
	}
}

// until reads up to the frame with that sign.
func (s *side) until(want reauth.Sign) error {
	for {
		switch sign, err := s.next(); {
		case err != nil:
			return err
		case sign == want:
			return nil
		case sign == reauth.Refused:
			return &refusedError{s.veil.Last()}
		case sign == reauth.Confirmed:
			// Nobody asked: a slot has moved.
			return errUnasked
		}
	}
}

// ask sends a command of ours and reads up to its reply.
func (s *side) ask(reply reauth.Sign, words ...string) error {
	s.veil.Expect(reply)
	if _, err := s.Write(resp.AppendCommand(nil, words...)); err != nil {
		if s.writeFailed != nil {
			s.writeFailed(err)
		}
		return err
	}
	return s.until(reply)
}

// set gives a new connection the settings of another.
func (s *side) set(commands [][]byte) error {
	for _, command := range commands {
		if _, err := s.Write(command); err != nil {
			return err
		}
		switch sign, err := s.next(); {
		case err != nil:
			return err
		case sign != reauth.Other:
			return &refusedError{s.veil.Last()}
		}
	}
	return nil
}

// subscribe sends commands that change the subscriptions and reads their
// confirmations. Messages come between them.
func (s *side) subscribe(commands []reauth.Subscribe) error {
	for _, command := range commands {
		if _, err := s.Write(command.Command); err != nil {
			return err
		}
		for due := command.Count; due > 0; {
			switch sign, err := s.next(); {
			case err != nil:
				return err
			case sign == reauth.Failed:
				return &refusedError{s.veil.Last()}
			case sign == reauth.Confirmed && s.veil.Last() != command.Confirms:
				return errUnasked
			case sign == reauth.Confirmed:
				due--
			}
		}
	}
	return nil
}

// publish sends the marker and returns how many connections got it.
func publish(c net.Conn, marker string) (n int, err error) {
	if _, err := c.Write(resp.AppendCommand(nil, "PUBLISH", marker, "")); err != nil {
		return 0, err
	}
	r := resp.NewReader(c)
	r.Limit = 64 << 10
	reply, err := r.ReadFrame()
	if err != nil {
		return 0, err
	}
	if reply[0] == '-' {
		return 0, &refusedError{string(reply[1 : len(reply)-2])}
	}
	if _, err := fmt.Sscanf(string(reply), ":%d\r\n", &n); err != nil {
		return 0, fmt.Errorf("unexpected reply to PUBLISH: %w", err)
	}
	return n, nil
}

// maxCompared bounds how many messages of two streams are compared.
const maxCompared = 4096

// overlap finds where in a stream another one stands that has the same
// messages in the same order: it has seen a, the stream has brought before and
// after, and nothing that came behind after has been seen. It returns how many
// of after have been seen, if only one number is possible: the right one always
// is. Otherwise the error is errAlike, or errElse if none is.
func overlap(a, before, after []uint64) (seen int, err error) {
	err = errElse
	for k := range len(after) + 1 {
		if !endsAlike(a, before, after[:k]) {
			continue
		}
		if err == nil {
			return 0, errAlike
		}
		seen, err = k, nil
	}
	return seen, err
}

// endsAlike reports whether a and the stream of before and then after are the
// same from the end, as far as both go.
func endsAlike(a, before, after []uint64) bool {
	for i := 1; i <= min(len(a), len(before)+len(after), maxCompared); i++ {
		theirs := uint64(0)
		if i <= len(after) {
			theirs = after[len(after)-i]
		} else {
			theirs = before[len(before)+len(after)-i]
		}
		if a[len(a)-i] != theirs {
			return false
		}
	}
	return true
}
