package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func flagNames(f *pflag.FlagSet) (names []string) {
	f.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

func TestHelpShowsTheWholeSurface(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, nil, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d, stderr %s", code, &stderr)
	}
	for _, cmd := range newRoot(commandsForTest()).Commands() {
		for _, name := range flagNames(cmd.LocalFlags()) {
			if !strings.Contains(stdout.String(), "--"+name) || !strings.Contains(stdout.String(), envName(name)) {
				t.Errorf("help lacks --%s or %s of %s", name, envName(name), cmd.Name())
			}
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
}

func TestNoFlagTakesASecret(t *testing.T) {
	for _, cmd := range newRoot(commandsForTest()).Commands() {
		for _, name := range flagNames(cmd.Flags()) {
			for _, word := range []string{"secret", "password"} {
				if strings.Contains(name, word) && !strings.HasSuffix(name, "-file") {
					t.Errorf("%s --%s: a process list shows its value", cmd.Name(), name)
				}
			}
		}
	}
}
