package commands

import "testing"

// A set without room would be searched for ever.
func TestShortNames(t *testing.T) {
	free := 0
	for _, n := range short {
		if n == (shortName{}) {
			free++
		}
	}
	if free < len(short)/4 {
		t.Errorf("%d of %d places are free: make the set larger", free, len(short))
	}
	for name := range stateless {
		if _, ok := shorten([]byte(name)); ok && !short.has([]byte(name)) {
			t.Errorf("%s is missing", name)
		}
	}
	for name := range table {
		if short.has([]byte(name)) && !stateless[name] {
			t.Errorf("%s is not stateless", name)
		}
	}
}
