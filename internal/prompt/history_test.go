package prompt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/prompt"
)

func TestHistoryIsKeptWithoutSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "history")
	h, err := prompt.OpenHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"get a", "get a", " ", "auth ada hunter2", `"AUTH" hunter2`, `auth "hunter2`, "two\nlines", " set b 1 "} {
		if _, err := h.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	again, err := prompt.OpenHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"get a", "set b 1"}
	if got := again.Dump().([]string); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, err := again.GetLine(1); err != nil || got != want[1] || again.Len() != 2 {
		t.Errorf("got %q, %v, of %d", got, err, again.Len())
	}
	if _, err := again.GetLine(2); err == nil {
		t.Error("there is no third line")
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestHistoryIsCut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	var b strings.Builder
	for i := range 2001 {
		fmt.Fprintf(&b, "get %d\n", i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what the first has left
		h, err := prompt.OpenHistory(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := h.GetLine(0)
		if h.Len() != 1000 || first != "get 1001" {
			t.Errorf("got %d lines from %q", h.Len(), first)
		}
	}
}

func TestHistoryLivesInMemoryIfItMust(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := prompt.OpenHistory(filepath.Join(blocked, "history"))
	if err == nil {
		t.Error("want an error")
	}
	if _, err := h.Write("get a"); err != nil || h.Len() != 1 {
		t.Errorf("got %v, %d lines", err, h.Len())
	}
}
