package prompt_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/prompt"
)

func TestHint(t *testing.T) {
	for line, want := range map[string]string{
		"get":            "key",
		"GET k":          "",
		"set k":          "value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
		"geoadd k NX":    "[NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
		"config get":     "parameter [parameter ...]",
		"config get a b": "parameter [parameter ...]",
		"del a b":        "key [key ...]",
		"sort":           "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
		"ping":           "[message]",
		"nonsense":       "",
		"":               "",
	} {
		if got := prompt.Hint(strings.Fields(line)); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestComplete(t *testing.T) {
	for prefix, want := range map[string][]string{
		"zint":     {"ZINTER", "ZINTERCARD", "ZINTERSTORE"},
		"CONFIG R": {"CONFIG RESETSTAT", "CONFIG REWRITE"},
		"config":   {"CONFIG"}, // not its subcommands yet
		"zz":       nil,
		"get k":    nil,
	} {
		var got []string
		for _, c := range prompt.Complete(prefix) {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
}

func TestCommandsAreSorted(t *testing.T) {
	sorted := slices.IsSortedFunc(prompt.Commands, func(a, b prompt.Command) int { return strings.Compare(a.Name, b.Name) })
	if !sorted || len(prompt.Commands) < 300 {
		t.Errorf("%d commands, sorted: %v", len(prompt.Commands), sorted)
	}
}

// With the server that the table was made from, making it again makes no
// difference.
func TestTableIsCurrent(t *testing.T) {
	server := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if server == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set")
	}
	if version, err := exec.Command(server, "--version").Output(); err != nil || !strings.Contains(string(version), "v="+prompt.TableVersion+" ") {
		t.Skipf("the table is of Redis %s, the server says %s (%v)", prompt.TableVersion, version, err)
	}
	made := filepath.Join(t.TempDir(), "table.go")
	if out, err := exec.Command("go", "run", "./gen", "-o", made).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("table.go")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("table.go is not what the server says (%v); run go generate ./internal/prompt", err)
	}
}

func TestSecret(t *testing.T) {
	for line, want := range map[string]bool{
		"auth x": true, "AUTH u p": true, "hello 3": false, "hello 3 auth u p": true,
		"config set requirepass x": true, "config get requirepass": false, "config set maxmemory 1": false, "config set tls-key-file-pass x": true,
		"acl setuser u >p": true, "acl list": false, "migrate h 1 k 0 1 AUTH2 u p": true, "migrate h 1 k 0 1": false,
		"sentinel set m auth-pass x": true, "set auth x": false, "get k": false, "": false,
	} {
		if got := prompt.Secret(strings.Fields(line)); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}
