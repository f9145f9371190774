package acl

import (
	"strconv"
	"strings"
)

// permission is what a command needs on a key, or a pattern grants.
type permission uint8

const (
	canRead permission = 1 << iota
	canWrite
)

// keySpec says where a command's keys stand: Redis's own "key specifications"
// (redis.io, page of that name).
type keySpec struct {
	keyword string // keys begin behind this word, searched from start; "": at start
	start   int    // negative: searched backwards from the end
	last    int    // of a range, relative to the first; negative: from the end
	step    int
	limit   int // of a range with last -1: 2 is the first half of the rest, 0 all of it
	numkeys int // where the number of keys stands, relative to the beginning; -1: a range
	first   int // with numkeys: the first key, relative to the beginning
	need    permission
}

type keyRef struct {
	pos  int
	need permission
}

// keyRefs finds the keys among a command's words. Like Redis (db.c,
// getKeysUsingKeySpecs) it finds none at all where the words do not fit the
// specifications: the command is then a syntax error and touches nothing.
func (c *Command) keyRefs(args [][]byte) []keyRef {
	var refs []keyRef
	for _, s := range c.keys {
		from, to, ok := s.find(args)
		if !ok {
			return nil
		}
		for i := from; i <= to; i += s.step {
			refs = append(refs, keyRef{i, s.need})
		}
	}
	switch c.Name {
	case "sort":
		refs = append(refs, sortStore(args)...)
	case "set":
		// SET reads the key only with its GET option: the specification's
		// flags are the widest case.
		if len(refs) > 0 && !hasWord(args, 3, "get") {
			refs[0].need = canWrite
		}
	case "bitfield":
		if len(refs) > 0 && onlyGets(args[2:]) {
			refs[0].need = canRead
		}
	}
	return refs
}

// find returns the positions of the first and the last key; first behind last
// where the keyword is missing, ok false where the words do not fit.
func (s keySpec) find(args [][]byte) (first, last int, ok bool) {
	first = s.start
	if s.keyword != "" {
		if first = s.search(args); first < 0 {
			return 0, -1, true
		}
	}
	switch {
	case s.numkeys >= 0:
		if first+s.numkeys >= len(args) {
			return 0, 0, false
		}
		n, err := strconv.Atoi(string(args[first+s.numkeys]))
		if err != nil || n > len(args) {
			return 0, 0, false
		}
		first += s.first
		last = first + (n-1)*s.step
	case s.last >= 0:
		last = first + s.last
	case s.limit > 1:
		last = first + (len(args)-first)/s.limit + s.last
	default:
		last = len(args) + s.last
	}
	return first, last, first <= last && last < len(args)
}

// search finds the keyword and returns the position behind it, -1 without it.
func (s keySpec) search(args [][]byte) int {
	step, i := 1, s.start
	if i < 0 {
		step, i = -1, len(args)+i
	}
	for ; i > 0 && i < len(args)-1; i += step {
		if strings.EqualFold(string(args[i]), s.keyword) {
			return i + 1
		}
	}
	return -1
}

// sortStore finds SORT's STORE option, of which the last one counts; the
// specification leaves it out.
func sortStore(args [][]byte) []keyRef {
	store := 0
	for i := 2; i < len(args); i++ {
		switch lower(args[i]) {
		case "limit":
			i += 2
		case "get", "by":
			i++
		case "store":
			if i+1 < len(args) {
				store = i + 1
				i++
			}
		}
	}
	if store == 0 {
		return nil
	}
	return []keyRef{{store, canWrite}}
}

// onlyGets reports whether BITFIELD's subcommands write nothing.
func onlyGets(words [][]byte) bool {
	for len(words) > 0 {
		n := 3
		switch lower(words[0]) {
		case "get":
		case "overflow":
			n = 2
		default:
			return false
		}
		if len(words) < n {
			return false
		}
		words = words[n:]
	}
	return true
}

func hasWord(args [][]byte, from int, word string) bool {
	for i := from; i < len(args); i++ {
		if strings.EqualFold(string(args[i]), word) {
			return true
		}
	}
	return false
}
