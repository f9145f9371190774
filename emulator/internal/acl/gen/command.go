package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"
)

type command struct {
	name             string
	arity            int
	categories       []string
	noAuth, blocking bool
	keys             []string // keySpec literals
	subs             []*command
	since            string
}

// sinceTable maps every full command name to the Redis version it came with.
func sinceTable(c redis.Conn) (map[string]string, error) {
	docs, err := redis.Values(c.Do("COMMAND", "DOCS"))
	if err != nil {
		return nil, fmt.Errorf("COMMAND DOCS: %w", err)
	}
	since := map[string]string{}
	var walk func([]any)
	walk = func(list []any) {
		for i := 0; i+1 < len(list); i += 2 {
			m := pairs(list[i+1])
			since[text(list[i])] = text(m["since"])
			if subs, ok := m["subcommands"].([]any); ok {
				walk(subs)
			}
		}
	}
	walk(docs)
	return since, nil
}

// decode reads one entry of COMMAND: name, arity, flags, first key, last key,
// step, categories, tips, key specifications, subcommands.
func decode(e []any, since map[string]string) *command {
	c := &command{name: text(e[0]), arity: int(e[1].(int64)), since: since[text(e[0])]}
	for _, f := range words(e[2]) {
		c.noAuth = c.noAuth || f == "no_auth"
		c.blocking = c.blocking || f == "blocking"
	}
	for _, cat := range words(e[6]) {
		c.categories = append(c.categories, strings.TrimPrefix(cat, "@"))
	}
	for _, k := range e[8].([]any) {
		if lit := keySpec(pairs(k)); lit != "" {
			c.keys = append(c.keys, lit)
		}
	}
	for _, s := range e[9].([]any) {
		c.subs = append(c.subs, decode(s.([]any), since))
	}
	return c
}

// keySpec is a key specification as a literal; "" for a word that only looks
// like a key (a shard channel) and for places that Redis does not specify.
func keySpec(m map[string]any) string {
	need := map[string]bool{}
	for _, f := range words(m["flags"]) {
		switch f {
		case "not_key":
			return ""
		case "access":
			need["canRead"] = true
		case "insert", "update", "delete":
			need["canWrite"] = true
		}
	}
	begin, find := pairs(m["begin_search"]), pairs(m["find_keys"])
	at, how := pairs(begin["spec"]), pairs(find["spec"])
	lit := ""
	switch text(begin["type"]) {
	case "index":
		lit = fmt.Sprintf("start: %v", at["index"])
	case "keyword":
		lit = fmt.Sprintf("keyword: %q, start: %v", strings.ToLower(text(at["keyword"])), at["startfrom"])
	default:
		return ""
	}
	switch text(find["type"]) {
	case "range":
		lit += fmt.Sprintf(", last: %v, step: %v, limit: %v, numkeys: -1", how["lastkey"], how["keystep"], how["limit"])
	case "keynum":
		lit += fmt.Sprintf(", numkeys: %v, first: %v, step: %v", how["keynumidx"], how["firstkey"], how["keystep"])
	default:
		return ""
	}
	if len(need) > 0 {
		lit += ", need: " + join(need)
	}
	return "{" + lit + "}"
}

// sixTable keeps what Redis 6.0 had. Its HELP subcommands are dated later than
// they came.
func sixTable(seven map[string]*command) map[string]*command {
	six := map[string]*command{}
	for name, c := range seven {
		if !in60(c.since) {
			continue
		}
		old := *c
		old.subs = nil
		for _, s := range c.subs {
			if in60(s.since) || strings.HasSuffix(s.name, "|help") {
				old.subs = append(old.subs, s)
			}
		}
		six[name] = &old
	}
	return six
}

func in60(since string) bool {
	major, rest, _ := strings.Cut(since, ".")
	minor, _, _ := strings.Cut(rest, ".")
	ma, _ := strconv.Atoi(major)
	mi, _ := strconv.Atoi(minor)
	return ma < 6 || ma == 6 && mi == 0
}

var goNames = map[string]string{
	"sortedset": "SortedSet", "hyperloglog": "HyperLogLog", "pubsub": "PubSub",
}

func (c *command) literal() string {
	cats := map[string]bool{}
	for _, n := range c.categories {
		if g := goNames[n]; g != "" {
			cats[g] = true
		} else {
			cats[strings.ToUpper(n[:1])+n[1:]] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "{Name: %q, Arity: %d, Categories: %s", c.name, c.arity, join(cats))
	if c.blocking {
		b.WriteString(", Block: true")
	}
	if c.noAuth {
		b.WriteString(", NoAuth: true")
	}
	if len(c.keys) > 0 {
		fmt.Fprintf(&b, ", keys: []keySpec{%s}", strings.Join(c.keys, ", "))
	}
	if len(c.subs) > 0 {
		sort.Slice(c.subs, func(i, j int) bool { return c.subs[i].name < c.subs[j].name })
		b.WriteString(", Subs: []*Command{\n")
		for _, s := range c.subs {
			b.WriteString(s.literal())
		}
		b.WriteString("}")
	}
	b.WriteString("},\n")
	return b.String()
}

func join(set map[string]bool) string {
	var list []string
	for n := range set {
		list = append(list, n)
	}
	sort.Strings(list)
	return strings.Join(list, "|")
}

func pairs(v any) map[string]any {
	m := map[string]any{}
	list, _ := v.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		m[text(list[i])] = list[i+1]
	}
	return m
}

func words(v any) []string {
	var out []string
	list, _ := v.([]any)
	for _, e := range list {
		out = append(out, text(e))
	}
	return out
}

func text(v any) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case string:
		return v
	}
	return ""
}
