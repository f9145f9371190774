package acl_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

func words(line string) [][]byte {
	var args [][]byte
	for _, w := range strings.Fields(line) {
		args = append(args, []byte(w))
	}
	return args
}

func check(t *testing.T, r *acl.Rules, v acl.Version, line string) *acl.Denied {
	t.Helper()
	args := words(line)
	cmd, _ := acl.Lookup(v, args)
	if cmd == nil {
		t.Fatalf("%s is in no table", line)
	}
	return r.Check(cmd, args)
}

func TestParseErrors(t *testing.T) {
	for rules, want := range map[string]string{
		"+@nonexistent":       "Error in ACL SETUSER modifier '+@nonexistent': Unknown command or category name in ACL",
		"+@read -nosuch":      "Error in ACL SETUSER modifier '-nosuch': Unknown command or category name in ACL",
		"+config|nosuch":      "Error in ACL SETUSER modifier '+config|nosuch': Unknown command or category name in ACL",
		"-get|x":              "Error in ACL SETUSER modifier '-get|x': Unknown command or category name in ACL",
		"+config|get|x":       "Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported",
		"+@read *":            "Error in ACL SETUSER modifier '*': Syntax error",
		"+@read %Q~a":         "Error in ACL SETUSER modifier '%Q~a': Syntax error",
		"on >secret ~* +@all": "Error in ACL SETUSER modifier 'on': Syntax error",
		"(~a +get)":           "Error in ACL SETUSER modifier '(~a': Syntax error",
	} {
		_, err := acl.Parse(rules)
		var re *acl.RuleError
		if !errors.As(err, &re) || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", rules, err, want)
		}
	}
}

func TestNilPermitsNothing(t *testing.T) {
	var r *acl.Rules
	for _, v := range []acl.Version{acl.Redis60, acl.Redis7} {
		if check(t, r, v, "AUTH a b") != nil {
			t.Error("AUTH refused")
		}
		if d := check(t, r, v, "GET a"); d == nil || d.Reason != acl.DeniedCommand {
			t.Errorf("got %+v, want GET refused", d)
		}
	}
	if r.All(acl.Redis7) || r.String() != "" {
		t.Error("nil rules say something")
	}
}

// Redis 6.0 files commands elsewhere than Redis 7, and sees only whole ones.
func TestVersionsDiffer(t *testing.T) {
	for _, row := range []struct {
		rules, line string
		in60, in7   bool
	}{
		{"+@connection", "CLIENT SETNAME a", true, true},
		{"+@all -@dangerous", "CLIENT SETNAME a", false, true},
		{"+@all -@dangerous", "CLIENT LIST", false, false},
		{"+@all -@dangerous", "ACL WHOAMI", false, true},
		{"+@connection", "SELECT 1", false, true},
		{"+@keyspace", "SELECT 1", true, false},
		{"+@read", "ECHO a", true, false},
		{"+@read +@connection +cluster|info", "CLUSTER INFO", true, true},
		{"+@read +@connection +cluster|info", "CLUSTER SLOTS", false, false},
		{"+client -client|kill", "CLIENT KILL a", false, false},
		{"+client -client|kill +client|kill", "CLIENT KILL a", true, true},
		{"+client|kill -client|kill", "CLIENT KILL a", false, false},
		{"-hello", "HELLO 3", false, true},
		{"+select|0", "SELECT 0", true, true},
		{"+select|0", "SELECT 1", false, false},
		{"nocommands +get", "GET a", true, true},
		{"allcommands -get", "GET a", false, false},
	} {
		r, err := acl.Parse(row.rules + " allkeys")
		if err != nil {
			t.Fatal(err)
		}
		for v, want := range map[acl.Version]bool{acl.Redis60: row.in60, acl.Redis7: row.in7} {
			if d := check(t, r, v, row.line); (d == nil) != want {
				t.Errorf("%s: %s in version %d: got %+v, want permitted: %v", row.rules, row.line, v, d, want)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for _, row := range []struct {
		rules, line string
		key         string // the one refused; "": none
	}{
		{"~app:*", "GET app:1", ""},
		{"~app:*", "MGET app:1 b", "b"},
		{"~app:*", "MSET app:1 b b 1", "b"},
		{"~a ~b", "RENAME a b", ""},
		{"~h[ae]llo", "GET hello", ""},
		{"~h[^e]llo", "GET hello", "hello"},
		{"~h?llo*", "GET hillo1", ""},
		{`~a\*`, "GET ab", "ab"},
		{`~a\*`, "GET a*", ""},
		{"~[a-c]", "GET b", ""},
		{"~a", "XREAD COUNT 1 STREAMS a b 0 0", "b"},
		{"~a", "EVAL x 1 b a", "b"},
		{"~a", "EVAL x 0 b", ""},
		{"~a", "ZUNIONSTORE a 1 b", "b"},
		{"~a", "SORT a STORE b", "b"},
		{"~a", "GEORADIUS a 1 1 1 m STORE b", "b"},
		{"%R~a", "GET a", ""},
		{"%R~a", "SET a 1", "a"},
		{"%W~a", "SET a 1", ""},
		{"%W~a", "SET a 1 GET", "a"},
		{"%RW~*", "SET a 1 GET", ""},
		{"%W~a %R~b", "COPY b a", ""},
		{"%R~a", "BITFIELD a GET u8 0", ""},
		{"%R~a", "EXISTS a", ""},
		{"~a resetkeys", "GET a", "a"},
		{"", "PING", ""},
	} {
		r, err := acl.Parse("+@all " + row.rules)
		if err != nil {
			t.Fatal(err)
		}
		d := check(t, r, acl.Redis7, row.line)
		got := ""
		if d != nil {
			got = d.Arg
		}
		if got != row.key || d != nil && d.Reason != acl.DeniedKey {
			t.Errorf("%s: %s: got %+v, want key %q refused", row.rules, row.line, d, row.key)
		}
	}
}

func TestChannels(t *testing.T) {
	for _, row := range []struct {
		rules, line string
		may         bool
	}{
		{"", "SUBSCRIBE a", true},
		{"&a*", "SUBSCRIBE ab", true},
		{"&a*", "SUBSCRIBE ab b", false},
		{"&a*", "SSUBSCRIBE b", false},
		{"&a*", "PUBLISH ab b", true},
		{"&a*", "SPUBLISH b ab", false},
		{"&a*", "PSUBSCRIBE a*", true},
		{"&a*", "PSUBSCRIBE ab", false},
		{"resetchannels", "PUBLISH a b", false},
		{"resetchannels allchannels", "PUBLISH a b", true},
		{"&a*", "UNSUBSCRIBE b", true},
	} {
		r, err := acl.Parse("+@all " + row.rules)
		if err != nil {
			t.Fatal(err)
		}
		if d := check(t, r, acl.Redis7, row.line); (d == nil) != row.may {
			t.Errorf("%s: %s: got %+v, want permitted: %v", row.rules, row.line, d, row.may)
		}
		if d := check(t, r, acl.Redis60, "PUBLISH zz b"); d != nil {
			t.Errorf("%s: Redis 6.0 has no channel rules, got %+v", row.rules, d)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, row := range []struct {
		v         acl.Version
		line      string
		cmd, base string
	}{
		{acl.Redis7, "GET a", "get", "get"},
		{acl.Redis7, "client KILL", "client|kill", "client"},
		{acl.Redis7, "client", "client", "client"},
		{acl.Redis7, "client nosuch", "", "client"},
		{acl.Redis7, "nosuch", "", ""},
		{acl.Redis7, "client setinfo a b", "client|setinfo", "client"}, // 7.2
		{acl.Redis60, "client KILL", "client", "client"},
		{acl.Redis60, "getex a", "", ""}, // 6.2
		{acl.Redis60, "reset", "", ""},   // 6.2
	} {
		cmd, base := acl.Lookup(row.v, words(row.line))
		got := [2]string{}
		if cmd != nil {
			got[0] = cmd.Name
		}
		if base != nil {
			got[1] = base.Name
		}
		if want := [2]string{row.cmd, row.base}; got != want {
			t.Errorf("%s: got %v, want %v", row.line, got, want)
		}
	}
	if !slices.Contains(acl.InCategory(acl.Redis7, acl.Stream), "xgroup|create") {
		t.Error("xgroup|create is missing from @stream")
	}
}

func TestNamed(t *testing.T) {
	for _, name := range []string{"Data Owner", "Data Contributor", "Data Reader", "default"} {
		rules, ok := acl.Named(name)
		if _, err := acl.Parse(rules); !ok || err != nil {
			t.Errorf("%s: got %q %v %v", name, rules, ok, err)
		}
	}
	if _, ok := acl.Named("+@all"); ok {
		t.Error("a rule string is no name")
	}
}
