package entraredis_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testFile is what docs/states.md may refer to in a file of tests.
type testFile struct {
	functions map[string]bool
	literals  map[string]bool // as they are written
}

// Whoever reads the table of states must be able to run what it is said to rest on.
func TestStatesTableNamesTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "states.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, anywhere := testFiles(t), map[string]bool{}
	for _, f := range files {
		for name := range f.functions {
			anywhere[name] = true
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(text), -1) {
		if !anywhere[name] {
			t.Errorf("%s is no test", name)
		}
	}
	inTable := map[string]bool{}
	for _, link := range regexp.MustCompile(`\[(Test\w+)(/[\w-]+)?\]\(([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
		name, sub, path := link[1], strings.TrimPrefix(link[2], "/"), filepath.ToSlash(filepath.Join("docs", link[3]))
		file, ok := files[path]
		switch {
		case !ok:
			t.Errorf("%s: there is no file of tests %s", link[0], path)
		case sub == "" && !file.functions[name]:
			t.Errorf("%s: it is not in %s", link[0], path)
		case sub != "" && !file.literals[`"`+sub+`"`]:
			t.Errorf("%s: no subtest of that name is in %s", link[0], path)
		}
		inTable[sub] = true
	}
	for _, s := range states {
		if !inTable[s.name] {
			t.Errorf("docs/states.md has no row for TestStates/%s", s.name)
		}
	}
	for _, name := range regexp.MustCompile(`\("([a-z0-9 ]+)"`).FindAllStringSubmatch(string(text), -1) {
		if _, ok := redisOnAuth[name[1]]; !ok {
			t.Errorf("TestRedisOnAuth has no part %q", name[1])
		}
	}
}

// testFiles reads all of the repository's.
func testFiles(t *testing.T) map[string]testFile {
	t.Helper()
	files := map[string]testFile{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := testFile{map[string]bool{}, map[string]bool{}}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					f.functions[n.Name.Name] = true
				}
			case *ast.BasicLit:
				f.literals[n.Value] = true
			}
			return true
		})
		files[filepath.ToSlash(path)] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
