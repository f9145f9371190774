// Command gen makes the table of package commands from what real Redis servers
// say of themselves (COMMAND): go generate ./internal/commands. Each argument is
// a server: the program, and its arguments if there are any, between blanks. They are
// started without any data, on Unix sockets of their own. See the script servers
// beside it.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

func main() {
	out := flag.String("o", "table.go", "`file` to write")
	flag.Parse()
	t := table{}
	var names []string
	for _, server := range flag.Args() {
		name, err := t.ask(server)
		if err != nil {
			fail(fmt.Errorf("%s: %w", server, err))
		}
		names = append(names, name)
	}
	source, err := t.source(strings.Join(names, "; "))
	if err == nil {
		err = os.WriteFile(*out, source, 0o644)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gen:", err)
	os.Exit(1)
}

// ask adds what a server says to the table, and returns the server's name.
func (t table) ask(server string) (name string, err error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	args := strings.Fields(server)
	process := exec.Command(args[0], append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir}, args[1:]...)...)
	if err := process.Start(); err != nil {
		return "", err
	}
	defer process.Wait()
	defer process.Process.Kill()
	conn, err := dial(socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if name, err = nameOf(conn); err != nil {
		return "", err
	}
	entries, err := redis.Values(conn.Do("COMMAND"))
	if err != nil {
		return "", fmt.Errorf("COMMAND: %w", err)
	}
	for _, e := range entries {
		if err := t.add(e); err != nil {
			return "", err
		}
	}
	return name, nil
}

// nameOf returns the server's version and modules, as in "Redis 7.4.1 with
// search 21005".
func nameOf(conn redis.Conn) (string, error) {
	info, err := redis.String(conn.Do("INFO", "server"))
	if err != nil {
		return "", fmt.Errorf("INFO: %w", err)
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r")
	loaded, err := redis.Values(conn.Do("MODULE", "LIST"))
	if err != nil {
		return "", fmt.Errorf("MODULE LIST: %w", err)
	}
	var modules []string
	for _, m := range loaded {
		f, _ := m.([]any)
		if len(f) < 4 {
			return "", errors.New("MODULE LIST: not the reply of a Redis 7")
		}
		modules = append(modules, fmt.Sprintf("%s %d", f[1], f[3]))
	}
	if len(modules) == 0 {
		return "Redis " + version, nil
	}
	slices.Sort(modules)
	return "Redis " + version + " with " + strings.Join(modules, ", "), nil
}

func dial(socket string) (redis.Conn, error) {
	for until := time.Now().Add(10 * time.Second); ; {
		conn, err := redis.Dial("unix", socket)
		if err == nil || time.Now().After(until) {
			return conn, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// entry is a command, with flags and categories as they are called in Go.
type entry struct {
	arity             int64
	flags, categories []string
}

// table has the entries by name.
type table map[string]entry

// add takes an entry of COMMAND's reply: name, arity, flags, first key, last
// key, step, categories, tips, key specifications, subcommands.
func (t table) add(v any) error {
	f, ok := v.([]any)
	if !ok || len(f) < 10 {
		return errors.New("COMMAND: not the reply of a Redis 7")
	}
	name, err := redis.String(f[0], nil)
	if err != nil {
		return err
	}
	var e entry
	e.arity, _ = f[1].(int64)
	if e.flags, err = redis.Strings(f[2], nil); err != nil {
		return fmt.Errorf("%s: flags: %w", name, err)
	}
	if e.categories, err = redis.Strings(f[6], nil); err != nil {
		return fmt.Errorf("%s: categories: %w", name, err)
	}
	for i, f := range e.flags {
		e.flags[i] = goName("Flag", f)
	}
	for i, c := range e.categories {
		e.categories[i] = goName("Cat", strings.TrimPrefix(c, "@"))
	}
	t.merge(strings.ToUpper(strings.ReplaceAll(name, "|", " ")), e)
	subs, _ := f[9].([]any)
	for _, s := range subs {
		if err := t.add(s); err != nil {
			return err
		}
	}
	return nil
}

// merge adds what one more server says of a command. Where two differ it is all
// that any of them says, but that a command reads or writes data, which makes
// it one to share, only if all do.
func (t table) merge(name string, e entry) {
	if had, ok := t[name]; ok {
		if had.arity != e.arity {
			e.arity = -min(max(had.arity, -had.arity), max(e.arity, -e.arity))
		}
		all := slices.Concat(had.flags, e.flags)
		e.flags = slices.DeleteFunc(all, func(f string) bool {
			return (f == "FlagReadonly" || f == "FlagWrite") && !(slices.Contains(had.flags, f) && slices.Contains(e.flags, f))
		})
		e.categories = slices.Concat(had.categories, e.categories)
	}
	slices.Sort(e.flags)
	slices.Sort(e.categories)
	e.flags, e.categories = slices.Compact(e.flags), slices.Compact(e.categories)
	t[name] = e
}

// source writes constants for all flags and categories, and the table.
func (t table) source(servers string) ([]byte, error) {
	var flags, categories []string
	for _, e := range t {
		flags, categories = append(flags, e.flags...), append(categories, e.categories...)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by gen from %s; DO NOT EDIT.\n\npackage commands\n", servers)
	constants(&b, "Flags", flags)
	constants(&b, "Categories", categories)
	b.WriteString("\nvar table = map[string]Command{\n")
	for _, name := range slices.Sorted(maps.Keys(t)) {
		e := t[name]
		fmt.Fprintf(&b, "%q: {%d, %s, %s},\n", name, e.arity, union(e.flags), union(e.categories))
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}

func constants(b *bytes.Buffer, typ string, names []string) {
	slices.Sort(names)
	fmt.Fprintf(b, "\n// Redis's own names, as [%s].\nconst (\n", typ)
	for i, n := range slices.Compact(names) {
		if i == 0 {
			fmt.Fprintf(b, "%s %s = 1 << iota\n", n, typ)
		} else {
			fmt.Fprintln(b, n)
		}
	}
	b.WriteString(")\n")
}

func union(names []string) string {
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, " | ")
}

// goName returns what a word like "no_auth" is called in Go.
func goName(prefix, word string) string {
	for part := range strings.FieldsFuncSeq(word, func(r rune) bool { return r == '_' || r == '-' }) {
		prefix += strings.ToUpper(part[:1]) + part[1:]
	}
	return prefix
}
