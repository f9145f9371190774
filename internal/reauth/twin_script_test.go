//go:build unix

package reauth_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// script is a conversation: what a client sends and when it reads, what others
// do meanwhile, and when a re-AUTH is asked for. Its text form is what a
// failure prints and what testdata/twin holds; see parseScript.
type script struct {
	user    []string      // ACL rules that restrict the client, such as -exec
	pieces  []int         // sizes into which the bytes of both sides fall, over and over; none: not at all
	tls     bool          // the connection with re-AUTHs is one over TLS
	longest time.Duration // for Tracker.Block; 0: blocking commands go out as they are
	events  []event
}

// event is one line of a script.
type event struct {
	verb  string
	words []string // of a command; of raw, the bytes
	n     int      // of auth, refused, cut: bytes of the client's until then; of read and lost: of the server's
}

const (
	sends   = ">"       // a command of the client
	inlines = "i"       // the same, as a line
	raw     = "raw"     // any bytes of the client
	other   = "!"       // a command on another connection, when all before it has been executed
	asks    = "auth"    // a re-AUTH becomes due, n bytes into what follows
	refused = "refused" // the same, with a token that the server refuses
	reads   = "read"    // all that has been answered is read; with a number, so many bytes of it
	cut     = "cut"     // the connection ends n bytes into what follows
	lost    = "lost"    // the connection ends when n more bytes were received
)

// parseScript reads the text form: a line is a verb and its words, which are
// Go strings where they need to be; # begins a comment. In words, $id and
// $other are the CLIENT ID of the client and of the other connection.
func parseScript(text string) (*script, error) {
	s := &script{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words, err := fields(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		verb, words := words[0], words[1:]
		switch verb {
		case "user":
			s.user = words
		case "tls":
			s.tls = true
		case "longest":
			s.longest, err = time.ParseDuration(strings.Join(words, ""))
		case "pieces":
			for _, w := range words {
				n, _ := strconv.Atoi(w)
				s.pieces = append(s.pieces, max(1, n))
			}
		case sends, inlines, raw, other:
			s.events = append(s.events, event{verb: verb, words: words})
		case asks, refused, reads, cut, lost:
			e := event{verb: verb}
			if len(words) > 0 {
				e.n, err = strconv.Atoi(words[0])
			}
			s.events = append(s.events, e)
		default:
			return nil, fmt.Errorf("line %d: no verb %q", i+1, verb)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return s, nil
}

func fields(line string) (words []string, err error) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			w, rest, _ := strings.Cut(line, " ")
			words, line = append(words, w), rest
			continue
		}
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		w, _ := strconv.Unquote(q)
		words, line = append(words, w), line[len(q):]
	}
	return words, nil
}

func (s *script) String() string {
	var b strings.Builder
	if len(s.user) > 0 {
		fmt.Fprintln(&b, "user", strings.Join(s.user, " "))
	}
	if s.tls {
		fmt.Fprintln(&b, "tls")
	}
	if s.longest > 0 {
		fmt.Fprintln(&b, "longest", s.longest)
	}
	if len(s.pieces) > 0 {
		fmt.Fprintln(&b, "pieces", strings.Trim(fmt.Sprint(s.pieces), "[]"))
	}
	for _, e := range s.events {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

func (e event) String() string {
	b := e.verb
	for _, w := range e.words {
		if q := strconv.Quote(w); w == "" || len(q) != len(w)+2 || strings.Contains(w, " ") {
			w = q
		}
		b += " " + w
	}
	if e.n != 0 {
		b += " " + strconv.Itoa(e.n)
	}
	return b
}

// bytes returns what the client sends for an event; ids replaces $id and $other.
func (e event) bytes(ids *strings.Replacer) []byte {
	words := make([]string, len(e.words))
	for i, w := range e.words {
		words[i] = ids.Replace(w)
	}
	switch e.verb {
	case inlines:
		return []byte(strings.Join(words, " ") + "\r\n")
	case raw:
		return []byte(strings.Join(words, ""))
	}
	return resp.AppendCommand(nil, words...)
}

// has reports whether a command, of the client's or of others, is of that name.
func (s *script) has(names ...string) bool {
	return slices.ContainsFunc(s.events, func(e event) bool {
		return len(e.words) > 0 && slices.Contains(names, strings.ToUpper(e.words[0]))
	})
}

// mentions reports whether a word stands in a command.
func (s *script) mentions(word string) bool {
	return slices.ContainsFunc(s.events, func(e event) bool { return slices.Contains(e.words, word) })
}

// breaks reports whether the connection is cut before the conversation ends.
func (s *script) breaks() bool {
	return slices.ContainsFunc(s.events, func(e event) bool { return e.verb == cut || e.verb == lost })
}

var blockers = []string{"BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "XREAD", "XREADGROUP", "WAIT"}

// patient reports whether something in the script blocks until somebody else
// ends it; a script whose blocks all time out after some milliseconds is
// waited for instead. (Such a script has no time-outs of its own.)
func (s *script) patient() bool {
	return slices.ContainsFunc(s.events, func(e event) bool {
		if len(e.words) < 3 || !slices.Contains(blockers, strings.ToUpper(e.words[0])) {
			return false
		}
		switch name := strings.ToUpper(e.words[0]); name {
		case "XREAD", "XREADGROUP":
			i, end := slices.Index(e.words, "BLOCK"), slices.Index(e.words, "STREAMS")
			return i > 0 && i < end && endless(e.words[i+1])
		case "BLMPOP", "BZMPOP":
			return endless(e.words[1])
		}
		return endless(e.words[len(e.words)-1])
	})
}

func endless(timeout string) bool {
	f, err := strconv.ParseFloat(timeout, 64)
	return err == nil && (f == 0 || f >= 600)
}
