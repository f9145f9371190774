package resp_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

// naive checks the scanner against a recursive parser that is as simple as it
// can be, for input without streams: the first frame must end where it says.
func naive(t *testing.T, b []byte) {
	t.Helper()
	end, ok := naiveElement(b, 0, 0)
	if !ok {
		return // incomplete, malformed or streamed: only chunking is checked
	}
	var s resp.Replies
	n, done, err := s.Next(b)
	if !done || err != nil || n != end {
		t.Fatalf("%q: scanner n=%d done=%v err=%v, the naive parser ends at %d", b, n, done, err, end)
	}
}

func naiveElement(b []byte, at, depth int) (end int, ok bool) {
	nested := depth > 0
	eol := bytes.Index(b[at:], []byte("\r\n"))
	if eol < 1 || depth > 20 {
		return 0, false
	}
	line, at := string(b[at:at+eol]), at+eol+2
	if bytes.ContainsRune([]byte(line), '\r') {
		return 0, false
	}
	switch line[0] {
	case '+', '-', ',', '#', '(', '_':
		return at, true
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || strconv.Itoa(n) != line[1:] {
		return 0, false
	}
	elements := n
	switch line[0] {
	case ':':
		return at, true
	case '$', '=', '!':
		if n == -1 && line[0] == '$' {
			return at, true
		}
		if n < 0 || n > len(b) || at+n+2 > len(b) || string(b[at+n:at+n+2]) != "\r\n" {
			return 0, false
		}
		return at + n + 2, true
	case '*':
		if n == -1 {
			return at, true
		}
	case '~':
	case '>':
		if nested { // it is no element of what it stands in
			elements++
		}
	case '%':
		elements = 2 * n
	case '|':
		elements = 2 * n
	default:
		return 0, false
	}
	if n < 0 || n > len(b) {
		return 0, false
	}
	for range elements {
		if at, ok = naiveElement(b, at, depth+1); !ok {
			return 0, false
		}
	}
	if line[0] == '|' {
		return naiveElement(b, at, depth) // what it belongs to
	}
	return at, true
}
