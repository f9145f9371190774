package acl

import (
	"sort"
	"strings"
)

// Version chooses whose command table and ACL semantics apply.
type Version uint8

// The versions there are.
const (
	Redis60 Version = iota // what Azure Cache for Redis is built from
	Redis7                 // Redis 7.0 with the commands added up to 7.4
)

// Command is one entry of a command table. It is read only.
type Command struct {
	Name       string   // lower case; a subcommand is "container|name"
	Arity      int      // words including the name; negative: at least that many
	Categories Category // as ACL CAT files it
	Block      bool     // may wait for data
	NoAuth     bool     // answers clients that are not authenticated
	Subs       []*Command

	keys    []keySpec
	version Version
	parent  *Command
	id      int
}

// ArityOK reports whether a command of n words has a permitted length.
func (c *Command) ArityOK(n int) bool { return n == c.Arity || c.Arity < 0 && n >= -c.Arity }

// Sub finds a subcommand by its name alone, in any case; nil if there is none.
func (c *Command) Sub(name string) *Command {
	for _, s := range c.Subs {
		if strings.EqualFold(s.Name[len(c.Name)+1:], name) {
			return s
		}
	}
	return nil
}

// Base is the command's first word.
func (c *Command) Base() string {
	base, _, _ := strings.Cut(c.Name, "|")
	return base
}

type commandTable struct {
	byName map[string]*Command
	all    []*Command // every entry an ACL can speak of, by id
}

var tables = [...]commandTable{Redis60: index(Redis60, redis60), Redis7: index(Redis7, redis7)}

func index(v Version, list []*Command) commandTable {
	t := commandTable{byName: make(map[string]*Command, len(list))}
	add := func(c *Command) {
		c.version, c.id = v, len(t.all)
		t.all = append(t.all, c)
	}
	for _, c := range list {
		t.byName[c.Name] = c
		add(c)
		for _, s := range c.Subs {
			s.parent, s.version = c, v
			if v != Redis60 {
				add(s)
			}
		}
	}
	return t
}

// Lookup finds the command that words name. From Redis 7 on a container's
// second word is part of the name: container is then the command the first
// word names, and cmd is nil if it has no such subcommand. In Redis 6.0 the
// first word alone decides.
func Lookup(v Version, words [][]byte) (cmd, container *Command) {
	c := tables[v].byName[lower(words[0])]
	if c == nil {
		return nil, nil
	}
	if v == Redis60 || len(c.Subs) == 0 || len(words) == 1 {
		return c, c
	}
	return c.Sub(string(words[1])), c
}

// InCategory lists the names of the commands in a category, sorted.
func InCategory(v Version, cat Category) []string {
	var names []string
	for _, c := range tables[v].all {
		if c.Categories&cat != 0 {
			names = append(names, c.Name)
		}
	}
	sort.Strings(names)
	return names
}

func lower(b []byte) string { return strings.ToLower(string(b)) }
