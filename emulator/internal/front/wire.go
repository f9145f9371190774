package front

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// errorLine is an error reply. Redis replaces line ends in the text.
func errorLine(text string) []byte {
	text = strings.NewReplacer("\r", " ", "\n", " ").Replace(strings.TrimPrefix(text, "-"))
	return []byte("-" + text + "\r\n")
}

func simple(text string) []byte { return []byte("+" + text + "\r\n") }

func integer(n uint64) []byte { return fmt.Appendf(nil, ":%d\r\n", n) }

func bulk(s string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s), s) }

func array(n int) []byte { return fmt.Appendf(nil, "*%d\r\n", n) }

func (c *conn) null() []byte {
	if c.proto == 3 {
		return []byte("_\r\n")
	}
	return []byte("$-1\r\n")
}

func (c *conn) mapHeader(n int) []byte {
	if c.proto == 3 {
		return fmt.Appendf(nil, "%%%d\r\n", n)
	}
	return array(2 * n)
}

// verbatim is a text for people: INFO, CLIENT LIST.
func (c *conn) verbatim(s string) []byte {
	if c.proto == 3 {
		return fmt.Appendf(nil, "=%d\r\ntxt:%s\r\n", len(s)+4, s)
	}
	return bulk(s)
}

// pubsubFrame reads what a subscriber is sent, an array or a push: its kind
// and its channel. ok is false for any other frame.
func pubsubFrame(f []byte) (kind, channel string, ok bool) {
	if len(f) == 0 || f[0] != '*' && f[0] != '>' {
		return "", "", false
	}
	_, rest, ok := bytes.Cut(f, []byte("\r\n"))
	if !ok {
		return "", "", false
	}
	kind, rest, ok = cutBulk(rest)
	if !ok {
		return "", "", false
	}
	channel, _, _ = cutBulk(rest)
	return kind, channel, true
}

func cutBulk(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '$' {
		return "", b, false
	}
	head, rest, ok := bytes.Cut(b[1:], []byte("\r\n"))
	n, err := strconv.Atoi(string(head))
	if !ok || err != nil || n < 0 || n+2 > len(rest) {
		return "", b, false
	}
	return string(rest[:n]), rest[n+2:], true
}

// arrayLen is the element count of an array frame, -1 for anything else, and
// what follows its header.
func arrayLen(f []byte) (n int, elements []byte) {
	head, rest, ok := bytes.Cut(f, []byte("\r\n"))
	if !ok || head[0] != '*' {
		return -1, nil
	}
	n, err := strconv.Atoi(string(head[1:]))
	if err != nil || n < 0 {
		return -1, nil
	}
	return n, rest
}

// monitorLine reports whether f is one of MONITOR's lines, which are no reply
// to anything: +1700000000.123456 [0 ...
func monitorLine(f []byte) bool {
	if len(f) < 2 || f[0] != '+' {
		return false
	}
	stamp, _, ok := bytes.Cut(f[1:], []byte(" ["))
	return ok && len(bytes.Trim(stamp, "0123456789.")) == 0
}
