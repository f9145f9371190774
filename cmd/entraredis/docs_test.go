package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update .

var update = flag.Bool("update", false, "write docs/cli and docs/man from the commands")

// docsDir holds the pages that cobra makes from the commands themselves.
var docsDir = filepath.Join("..", "..", "docs")

// references are the kinds of pages: one page per command, in a directory of
// docsDir.
var references = map[string]func(root *cobra.Command, dir string) error{
	"cli": doc.GenMarkdownTree,
	"man": func(root *cobra.Command, dir string) error {
		return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "entraredis", Manual: "entraredis", Date: &undated}, dir)
	},
}

// undated is the date of all manual pages, so that they change only with the
// commands; withoutDate takes it out.
var undated = time.Unix(0, 0)

func withoutDate(text string) string {
	return strings.Replace(text, undated.Format(`"Jan 2006"`), `""`, 1)
}

func commandsForTest() streams {
	return streams{in: &bytes.Buffer{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}, env: lookup(nil)}
}

func TestReferenceIsCurrent(t *testing.T) {
	for kind, generate := range references {
		made, kept := t.TempDir(), filepath.Join(docsDir, kind)
		root := newRoot(commandsForTest())
		root.DisableAutoGenTag = true
		if err := generate(root, made); err != nil {
			t.Fatal(err)
		}
		want := pages(t, made)
		if *update {
			writePages(t, kept, want)
		}
		got := pages(t, kept)
		for name, text := range want {
			if got[name] != text {
				t.Errorf("docs/%s/%s is not what the commands say; run go generate ./cmd/entraredis", kind, name)
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("docs/%s/%s belongs to no command", kind, name)
			}
		}
	}
}

func writePages(t *testing.T, dir string, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts[e.Name()] = withoutDate(string(data))
	}
	return texts
}

// The guide names flags, variables and exit codes by hand: each must exist.
func TestGuideNamesWhatExists(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(commandsForTest())
	known := []string{"--help", "--version"}
	for _, secret := range []string{"client-secret", "certificate-password", "password", "proxy-password"} {
		known = append(known, envName(secret))
	}
	for _, cmd := range root.Commands() {
		for _, name := range flagNames(cmd.Flags()) {
			known = append(known, "--"+name, envName(name))
		}
	}
	for _, word := range regexp.MustCompile(`(?:^|[\s`+"`"+`(])(--[a-z][a-z-]+|ENTRAREDIS_[A-Z_]*[A-Z])`).FindAllStringSubmatch(string(guide), -1) {
		if !slices.Contains(known, word[1]) && !slices.Contains(foreign, word[1]) {
			t.Errorf("docs/cli.md names %s, which does not exist", word[1])
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^  (\d+) `).FindAllStringSubmatch(rootLong, -1) {
		if !strings.Contains(string(guide), "| "+line[1]+" |") {
			t.Errorf("docs/cli.md lacks exit code %s of the help", line[1])
		}
	}
}

// foreign are flags of other programs in the guide's examples.
var foreign = []string{"--tls", "--user", "--sni", "--cacert", "--pass", "--queue"}
