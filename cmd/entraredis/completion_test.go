package main

import (
	"bytes"
	"strings"
	"testing"
)

// Each shell's completion is generated, and asks this program for the words.
func TestCompletionForEachShell(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "complete -o default", "zsh": "#compdef entraredis", "fish": "complete -c entraredis", "powershell": "Register-ArgumentCompleter",
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"completion", shell}, nil, nil, &stdout, &stderr)
		if code != exitOK || !strings.Contains(stdout.String(), want) || !strings.Contains(stdout.String(), "__complete") || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, %d bytes, stderr %q, want %q in it", shell, code, stdout.Len(), &stderr, want)
		}
	}
}
