package config_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/config"
)

// written renders what matters of a target: its address, settings and places.
func written(t config.Target) []string {
	out := []string{t.Addr}
	for _, s := range t.Settings {
		out = append(out, s.Name+"="+s.Value+" @"+s.Place)
	}
	return out
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		err  string
	}{
		{text: "a.example", want: []string{"a.example"}},
		{text: " a.example:10000? ", want: []string{"a.example:10000"}},
		{text: "a?listen=127.0.0.1:6380&unix=/run/a%20b/c+d&plaintext", want: []string{"a",
			"listen=127.0.0.1:6380 @target a?listen", "unix=/run/a b/c+d @target a?unix", "plaintext=true @target a?plaintext"}},
		{text: "[::1]:6380?name=x&", want: []string{"[::1]:6380", "name=x @target [::1]:6380?name"}},
		{text: "a?name=", want: []string{"a", "name= @target a?name"}},
		{text: "", err: "no host name"},
		{text: "?listen=x", err: "no host name"},
		{text: "a?name=x&name=y", err: `target a: "name" is set twice`},
		{text: "a?name=100%", err: `target a: the value of "name" is not percent-encoded`},
		{text: "a:6380,password=hunter2?name=%zz", err: `the target: the value of "name"`},
	} {
		got, err := config.ParseTarget(tt.text)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: got error %v, want %q and no password", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(written(got), tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.text, written(got), err, tt.want)
		}
	}
}

func TestParseFile(t *testing.T) {
	f, err := config.ParseFile("p.yaml", []byte(`# all
admin: off
credential: managed-identity
additionally-allowed-tenants: [a, b]
scope:
targets:
  - host: one.example
    unix-mode: 0660
    allow-remote: true
  - two.example:10000?listen=127.0.0.1:7000&client-id=x
  - {host: three.example, client-id: &id 1234}
  - host: four.example
    client-id: *id
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := written(config.Target{Settings: f.Settings})[1:], []string{"admin=off @p.yaml:2",
		"credential=managed-identity @p.yaml:3", "additionally-allowed-tenants=a,b @p.yaml:4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("settings: got %q, want %q", got, want)
	}
	want := [][]string{
		{"one.example", "unix-mode=0660 @p.yaml:8", "allow-remote=true @p.yaml:9"},
		{"two.example:10000", "listen=127.0.0.1:7000 @p.yaml:10", "client-id=x @p.yaml:10"},
		{"three.example", "client-id=1234 @p.yaml:11"},
		{"four.example", "client-id=1234 @p.yaml:13"},
	}
	for i, target := range f.Targets {
		if got := written(target); i >= len(want) || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("target %d: got %q", i, got)
		}
	}
	if len(f.Targets) != len(want) {
		t.Errorf("got %d targets, want %d", len(f.Targets), len(want))
	}
}

func TestParseFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"- a\n- b\n":                                 "p.yaml:1: want \"name: value\" lines",
		"a: 1\na: 2\n":                               "p.yaml:2: \"a\" is set twice",
		"a: 1\n---\nb: 2\n":                          "p.yaml: more than one document",
		"a: {b: c}\n":                                "p.yaml:1: a is no single value",
		"a: [[b]]\n":                                 "p.yaml:1: a is a list of more than words",
		"targets: one\n":                             "p.yaml:1: want a list of targets",
		"targets:\n- listen: x\n":                    "p.yaml:2: the target has no host",
		"targets:\n- host:\n":                        "p.yaml:2: the target has no host",
		"targets:\n- [a]\n":                          "p.yaml:2: want \"name: value\" lines",
		"targets:\n- a?b=1&b=2\n":                    "p.yaml:2: target a: \"b\" is set twice",
		"x: &x {a: b}\n<<: *x\n":                     "p.yaml:1: x is no single value",
		"<<: {a: b}\n":                               "p.yaml:1: want the name of a setting",
		"a: b\n c: d\n":                              "p.yaml: ",
		"a: " + strings.Repeat("x", 5<<20):           "p.yaml: larger than",
		"targets:\n- host: a\n  host: b\n":           "p.yaml:3: \"host\" is set twice",
		"targets:\n- host: a\n  x: {y: z}\n":         "p.yaml:3: x is no single value",
		"? [a, b]\n: c\n":                            "p.yaml:1: want the name of a setting",
		"targets:\n- \"?listen=127.0.0.1:6380\"\n":   "p.yaml:2: no host name",
		"targets:\n- host: a\n- host: b\n  c: *no\n": "p.yaml: ",
	} {
		if f, err := config.ParseFile("p.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: got %+v, %v, want %q", text, f, err, want)
		}
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "~\n", "targets:\n"} {
		if f, err := config.ParseFile("p.yaml", []byte(text)); err != nil || len(f.Settings)+len(f.Targets) != 0 {
			t.Errorf("%q: got %+v, %v, want an empty file", text, f, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add("admin: off\ntargets:\n- host: a\n  listen: b\n- c?d=e\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := config.ParseFile("f", []byte(text))
		if err != nil {
			return
		}
		for _, target := range file.Targets {
			if target.Addr == "" {
				t.Errorf("%q: a target without host", text)
			}
		}
	})
}
