package main

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// parseExports undoes writeExports, by the rules of POSIX shell quoting that it uses.
func parseExports(text string) (map[string]string, error) {
	pairs := map[string]string{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "export ")
		name, quoted, ok2 := strings.Cut(rest, "=")
		if !ok || !ok2 || len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
			return nil, fmt.Errorf("not an export line: %q", line)
		}
		pairs[name] = strings.ReplaceAll(quoted[1:len(quoted)-1], `'\''`, "'")
	}
	return pairs, nil
}

var awkward = map[string]string{
	"PLAIN": "https://127.0.0.1:1/x", "SPACE": "a b", "QUOTE": "it's", "DOLLAR": "$HOME `id` \\ \"x\"", "EMPTY": "",
}

func TestExportsRoundTrip(t *testing.T) {
	var out bytes.Buffer
	if err := writeExports(&out, awkward); err != nil {
		t.Fatal(err)
	}
	got, err := parseExports(out.String())
	if err != nil || !maps.Equal(got, awkward) {
		t.Errorf("got %v, %v, want %v", got, err, awkward)
	}
}

func TestExportsInAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	var out bytes.Buffer
	if err := writeExports(&out, awkward); err != nil {
		t.Fatal(err)
	}
	for name, want := range awkward {
		got, err := exec.Command(sh, "-c", out.String()+`printf %s "$`+name+`"`).Output()
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}
