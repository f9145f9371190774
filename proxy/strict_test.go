package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

// ends lists where the stateless commands at the beginning of b end, in the form
// for pipes; with again, those like the one before are not read.
func ends(b []byte, again bool) (all []int) {
	var c strict
	var last []byte
	for at := 0; at < len(b); {
		k := 0
		if again {
			k = c.again(last, b[at:])
		}
		if k == 0 {
			var f form
			if k, f = c.read(b[at:]); f != whole || !c.stateless() {
				break
			}
			last = b[at : at+k]
		}
		at += k
		all = append(all, at)
	}
	return all
}

func TestStrictAgain(t *testing.T) {
	set := func(value string) string { return string(resp.AppendCommand(nil, "SET", "key", value)) }
	for _, tt := range []struct {
		name, last, b string
		want          bool
	}{
		{"alike", set("a"), set("another"), true},
		{"then something else", set("a"), set("a") + "!", true},
		{"no arguments", "*1\r\n$6\r\nDBSIZE\r\n", "*1\r\n$6\r\nDBSIZE\r\n", true},
		{"many arguments", string(resp.AppendCommand(nil, append([]string{"DEL"}, strings.Fields(strings.Repeat("k ", 40))...)...)), string(resp.AppendCommand(nil, append([]string{"DEL"}, strings.Fields(strings.Repeat("k ", 40))...)...)), true},
		{"another name", set("a"), "*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$1\r\nk\r\n", false},
		{"another number of arguments", set("a"), "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nNX\r\n", false},
		{"name in lower case", set("a"), strings.ToLower(set("a")), false},
		{"not whole", set("a"), set("a")[:len(set("a"))-1], false},
		{"no CRLF", set("a"), strings.TrimSuffix(set("a"), "\r\n") + "xx", false},
		{"a length with a zero", set("a"), strings.Replace(set("a"), "$1", "$01", 1), false},
		{"a length that is none", set("a"), strings.Replace(set("a"), "$1", "$-1", 1), false},
		{"no bulk string", set("a"), strings.Replace(set("a"), "$1", ":1", 1), false},
		{"depends on its arguments", "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n", false},
		{"subcommand", "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n", "*2\r\n$7\r\nCLUSTER\r\n$5\r\nRESET\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c strict
			if k, f := c.read([]byte(tt.last)); k != len(tt.last) || f != whole || !c.stateless() {
				t.Fatalf("last: %d, %d", k, f)
			}
			k := c.again([]byte(tt.last), []byte(tt.b))
			if got := k > 0; got != tt.want {
				t.Fatalf("got %d bytes", k)
			}
			if want := ends([]byte(tt.b), false); k > 0 && k != want[0] {
				t.Errorf("got %d bytes, want %d", k, want[0])
			}
		})
	}
}

// FuzzStrictAgain holds again against read: what travels over a pipe, and where
// each command ends, must be the same.
func FuzzStrictAgain(f *testing.F) {
	for _, b := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "*1\r\n$6\r\nDBSIZE\r\n", "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "*2\r\n$3\r\nGET\r\n$01\r\nk\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\rx",
	} {
		f.Add([]byte(b+b+b), uint(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, copies uint) {
		b = []byte(strings.Repeat(string(b), int(copies%4)+1))
		if want, got := fmt.Sprint(ends(b, false)), fmt.Sprint(ends(b, true)); want != got {
			t.Fatalf("%q: got %s, want %s", b, got, want)
		}
	})
}
