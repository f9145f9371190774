package commands

// maxShort is how long a name in short may be, in bytes. Almost all are.
const maxShort = 16

// shortNames is a set of names that is asked about every command on a shared
// connection: a map takes ten times as long.
type shortNames [1 << 9]shortName

// shortName is a name in upper case, zeros behind it.
type shortName [2]uint64

// short are the names of stateless commands.
var short = func() *shortNames {
	all := new(shortNames)
	for name := range stateless {
		n, ok := shorten([]byte(name))
		if !ok {
			continue
		}
		at := n.place()
		for all[at] != (shortName{}) {
			at = (at + 1) % len(all)
		}
		all[at] = n
	}
	return all
}()

// has reports whether word, in upper or lower case, is in the set. There must be
// room in the set.
func (s *shortNames) has(word []byte) bool {
	n, ok := shorten(word)
	if !ok {
		return false
	}
	for at := n.place(); s[at] != (shortName{}); at = (at + 1) % len(s) {
		if s[at] == n {
			return true
		}
	}
	return false
}

// shorten returns a name, or false if it is too long, empty, or none: a word with
// a space, which the names of subcommands have in the tables.
func shorten(word []byte) (n shortName, ok bool) {
	if len(word) == 0 || len(word) > maxShort {
		return n, false
	}
	for i, c := range word {
		switch {
		case c == ' ' || c == 0:
			return n, false
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		n[i/8] |= uint64(c) << (i % 8 * 8)
	}
	return n, true
}

// place is where a name would stand if no other did.
func (n shortName) place() int {
	const odd = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: any bit of the name moves the high ones
	return int((n[0]*odd ^ n[1]*odd<<7) >> 55)
}
