// Package rules holds the project to what its design says and no compiler
// checks: who may import whom, and what is written nowhere.
package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/entraredis/entraredis"

// forbidden says for each package what it must not depend on, directly or
// indirectly, and why.
var forbidden = map[string]map[string]string{
	".": {
		"github.com/prometheus/client_golang":                        "metrics are the command's: a library gives numbers",
		"go.yaml.in/yaml/v3":                                         "a library is configured by its caller",
		"github.com/Azure/azure-sdk-for-go/sdk/azidentity":           "the caller brings the credential; a library must not link one it does not use",
		"github.com/AzureAD/microsoft-authentication-library-for-go": "see azidentity",
		"github.com/redis/go-redis/v9":                               "the root fits any client, so it knows none",
		"github.com/gomodule/redigo":                                 "the root fits any client, so it knows none",
		"github.com/alicebob/miniredis/v2":                           "a server has no place in a client program",
		"github.com/spf13/cobra":                                     "the command line is the command's",
		module + "/credential":                                       "see azidentity",
		module + "/emulator":                                         "a server has no place in a client program",
	},
	"./emulator": {
		module:                      "the emulator is the judge of the root package, and the root's tests import it",
		module + "/internal/reauth": "the judge must not share the engine's mistakes",
		module + "/credential":      "the emulator serves any credential, ours is one of them",
		"github.com/Azure/azure-sdk-for-go/sdk/azidentity": "the emulator serves whatever speaks the protocol; a shared library would hide errors",
	},
	"./credential": {
		module:               "a credential can be had without Redis",
		module + "/emulator": "test servers stay in tests",
	},
	"./proxy": {
		module + "/credential": "the proxy is given a source, and does not ask from where",
		module + "/emulator":   "test servers stay in tests",
	},
	"./doctor": {
		module + "/emulator":           "test servers stay in tests",
		"github.com/spf13/cobra":       "the command line is the command's",
		"charm.land":                   "how a terminal looks is the command's",
		"github.com/redis/go-redis/v9": "what is sent is to be seen here, and RESP is enough for it",
	},
	"./internal/prompt": {
		module + "/internal/reauth":       "it talks over any net.Conn, and needs no token",
		"github.com/reeflective/readline": "the terminal is the command's",
	},
	"./internal/resp": {
		"github.com": "only the standard library: everything else stands on it",
	},
	"./internal/reauth": {
		"net": "no I/O: the engine is fed bytes and can be tested with nothing else",
		"os":  "no I/O",
	},
	"./internal/jwt": {
		"net/http": "claims are read, never fetched",
	},
}

func TestImportDirection(t *testing.T) {
	for pkg, rules := range forbidden {
		for _, dep := range deps(t, pkg) {
			for prefix, why := range rules {
				if dep == prefix || prefix != module && strings.HasPrefix(dep, prefix+"/") {
					t.Errorf("%s depends on %s: %s", pkg, dep, why)
				}
			}
		}
	}
}

// deps lists all that a package links, itself and tests apart.
func deps(t *testing.T, pkg string) (paths []string) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,DepOnly", pkg)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			DepOnly    bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return paths
		} else if err != nil {
			t.Fatal(err)
		}
		if p.DepOnly {
			paths = append(paths, p.ImportPath)
		}
	}
}

// unwritten is what must not stand in a Go file.
var unwritten = []struct {
	in   func(name string) bool
	text *regexp.Regexp
	why  string
}{
	{isTest, regexp.MustCompile(`\btime\.Sleep\(`),
		"a test that sleeps is slow or flaky: use testing/synctest, the emulator's clock, or wait for the event"},
	{isLibrary, regexp.MustCompile(`\bfmt\.Print|\blog\.(Print|Fatal|Panic)|\bos\.Exit\(`),
		"a library neither prints nor ends the program"},
	{func(string) bool { return true }, regexp.MustCompile(`InsecureSkipVerify:\s*true`),
		"TLS is verified, also in tests"},
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

func isLibrary(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "adapter", "credential", "doctor", "emulator", "internal":
		return !isTest(name)
	}
	return top == name && !isTest(name) // the root package
}

func TestUnwritten(t *testing.T) {
	root := os.DirFS("../..")
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == ".git" || d.Name() == "rules" || d.Name() == "gen") {
				return filepath.SkipDir
			}
			return err
		}
		name, _ := filepath.Rel("../..", path)
		name = filepath.ToSlash(name)
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		for _, rule := range unwritten {
			if rule.in(name) {
				if loc := rule.text.FindIndex(text); loc != nil {
					line := 1 + strings.Count(string(text[:loc[0]]), "\n")
					t.Errorf("%s:%d: %s: %s", name, line, text[loc[0]:loc[1]], rule.why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
