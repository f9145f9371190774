package proxy

import (
	"bytes"

	"github.com/entraredis/entraredis/internal/commands"
)

// maxKept is how many arguments of a command are looked at. Hardly a stateless
// command needs more to be told.
const maxKept = 16

// form says what strict made of some bytes.
type form uint8

const (
	partial form = iota // the beginning of a command
	whole
	odd // anything else, which may still be a command to Redis
)

// strict reads commands of the one form that nobody can read in two ways: an
// array of bulk strings, every length without sign and leading zero, every CRLF
// in its place. Only these travel over a connection that others use: were the
// end of one in doubt, the next client's command would be part of it.
type strict struct {
	args  [maxKept][]byte
	n     int  // of args
	count int  // of arguments, kept or not
	all   bool // args are all there are
	name  int  // where the name ends, CRLF included
	free  bool // the command may travel over a pipe whatever its arguments are
	need  int  // of a partial command: no use to look again at fewer bytes
}

// read reads the command at the beginning of b and returns its length.
func (c *strict) read(b []byte) (int, form) {
	c.n, c.all, c.need, c.free = 0, true, len(b)+1, false
	count, at, f := length(b, '*')
	if f != whole {
		return 0, f
	}
	if c.count = count; count == 0 {
		return 0, odd
	}
	for i := range count {
		size, k, f := length(b[at:], '$')
		if f != whole {
			if i > 0 { // before that, its name is waited for
				c.need = max(c.need, at+leastArgs(count-i))
			}
			return 0, f
		}
		end := at + k + size
		if len(b) < end+2 {
			if c.need = end + 2; i > 0 {
				c.need += leastArgs(count - i - 1)
			}
			return 0, partial
		}
		if b[end] != '\r' || b[end+1] != '\n' {
			return 0, odd
		}
		if i < maxKept {
			c.args[i] = b[at+k : end]
			c.n = i + 1
		} else {
			c.all = false
		}
		if at = end + 2; i == 0 {
			c.name = at
		}
	}
	return at, whole
}

// again returns the length of the command at the beginning of b if it begins as
// last does, the one last read, up to the end of its name, and may travel over a
// pipe by that; 0 if it does not, or is not whole, or last is empty. It leaves args
// as they are.
func (c *strict) again(last, b []byte) int {
	if len(last) == 0 || !c.free || !bytes.HasPrefix(b, last[:c.name]) {
		return 0
	}
	at := c.name
	for range c.count - 1 {
		size, k, f := length(b[at:], '$')
		end := at + k + size
		if f != whole || len(b) < end+2 || b[end] != '\r' || b[end+1] != '\n' {
			return 0
		}
		at = end + 2
	}
	return at
}

// leastArgs is how many bytes so many arguments have at least, or some million.
func leastArgs(n int) int { return min(n, 1<<20) * len("$0\r\n\r\n") }

// length reads a header line.
func length(b []byte, kind byte) (v, n int, f form) {
	if len(b) == 0 {
		return 0, 0, partial
	}
	if b[0] != kind {
		return 0, 0, odd
	}
	for n = 1; n < len(b); n++ {
		c := b[n]
		if c == '\r' {
			switch {
			case n == 1:
				return 0, 0, odd
			case n+1 == len(b):
				return 0, 0, partial
			case b[n+1] != '\n':
				return 0, 0, odd
			}
			return v, n + 2, whole
		}
		if c < '0' || c > '9' || n > 1 && v == 0 || n > 9 {
			return 0, 0, odd
		}
		v = v*10 + int(c-'0')
	}
	return 0, 0, partial
}

// stateless reports whether the command last read may travel over a pipe.
func (c *strict) stateless() bool {
	c.free = c.n > 0 && commands.AlwaysStateless(c.args[0])
	return c.free || commands.Stateless(c.args[:c.n], c.all)
}

// is reports whether the command last read has that name, given in upper case.
func (c *strict) is(name string) bool { return c.n > 0 && equalUpper(c.args[0], name) }

func equalUpper(b []byte, upper string) bool {
	if len(b) != len(upper) {
		return false
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}
