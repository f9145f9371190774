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

	"github.com/spf13/cobra/doc"
)

//go:generate go test -run ^TestReferenceIsCurrent$ -update .

var update = flag.Bool("update", false, "write docs/cli from the commands")

// docsDir holds one page per command, made by cobra from the commands themselves.
var docsDir = filepath.Join("..", "..", "docs", "cli")

func commandsForTest() streams {
	return streams{in: &bytes.Buffer{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}, env: lookup(nil)}
}

func TestReferenceIsCurrent(t *testing.T) {
	made := t.TempDir()
	root := newRoot(commandsForTest())
	root.DisableAutoGenTag = true
	if err := doc.GenMarkdownTree(root, made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.RemoveAll(docsDir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(docsDir, os.DirFS(made)); err != nil {
			t.Fatal(err)
		}
	}
	want, got := pages(t, made), pages(t, docsDir)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("docs/cli/%s is not what the commands say; run go generate ./cmd/entraredis", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("docs/cli/%s belongs to no command", name)
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
		texts[e.Name()] = string(data)
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
var foreign = []string{"--tls", "--user", "--sni", "--cacert", "--pass"}
