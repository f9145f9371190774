package acl

import (
	"fmt"
	"slices"
	"strings"
)

// Rules is what a user may do. It does not change once parsed and is safe for
// concurrent use. A nil *Rules permits nothing.
type Rules struct {
	text        string
	commands    [2]permissions // by Version
	allKeys     bool
	keys        []keyPattern
	restrict    bool // channels are spoken of at all
	allChannels bool
	channels    []string
}

type keyPattern struct {
	glob  string
	grant permission
}

// permissions are the commands permitted in one version's table.
type permissions struct {
	all   bool                // +@all and nothing taken away: commands of no table too
	bits  []bool              // by Command.id
	first map[string][]string // where the bit is off: first arguments permitted all the same
	not   map[string][]string // Redis 6.0 only: first arguments taken away
}

// A RuleError is a rule string that Redis would refuse.
type RuleError struct {
	Modifier string // the word at fault
	Problem  string
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("Error in ACL SETUSER modifier '%s': %s", e.Modifier, e.Problem)
}

const (
	problemUnknown  = "Unknown command or category name in ACL"
	problemSyntax   = "Syntax error"
	problemFirstArg = "Allowing first-arg of a subcommand is not supported"

	problemUseless        = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
	problemUselessChannel = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
)

// Parse reads a rule string such as `+@read +set ~app:*`: commands,
// categories, subcommands, key patterns (also %R~ and %W~) and channel
// patterns, applied from left to right. Where no word speaks of channels, all
// are permitted: Azure's rule strings do not name them. The words about
// passwords, states and selectors are not for access policies and are syntax
// errors. The error is a *[RuleError].
func Parse(rules string) (*Rules, error) {
	r := &Rules{text: rules}
	for v := range r.commands {
		r.commands[v] = permissions{bits: make([]bool, len(tables[v].all)), first: map[string][]string{}, not: map[string][]string{}}
	}
	for _, word := range strings.Fields(rules) {
		if problem := r.apply(word); problem != "" {
			return nil, &RuleError{Modifier: word, Problem: problem}
		}
	}
	return r, nil
}

// String is the text that Parse was given.
func (r *Rules) String() string {
	if r == nil {
		return ""
	}
	return r.text
}

func (r *Rules) apply(word string) (problem string) {
	switch strings.ToLower(word) {
	case "allkeys", "~*":
		r.allKeys, r.keys = true, nil
		return ""
	case "resetkeys":
		r.allKeys, r.keys = false, nil
		return ""
	case "allchannels", "&*":
		r.restrict, r.allChannels, r.channels = true, true, nil
		return ""
	case "resetchannels":
		r.restrict, r.allChannels, r.channels = true, false, nil
		return ""
	case "allcommands":
		word = "+@all"
	case "nocommands":
		word = "-@all"
	}
	switch word[0] {
	case '~':
		return r.addKeys(word[1:], canRead|canWrite)
	case '%':
		return r.addPercent(word[1:])
	case '&':
		if r.allChannels {
			return problemUselessChannel
		}
		r.restrict = true
		r.channels = append(r.channels, word[1:])
		return ""
	case '+', '-':
		return r.addCommands(strings.ToLower(word[1:]), word[0] == '+')
	}
	return problemSyntax
}

func (r *Rules) addKeys(glob string, grant permission) string {
	if r.allKeys {
		return problemUseless
	}
	r.keys = append(r.keys, keyPattern{glob, grant})
	return ""
}

func (r *Rules) addPercent(word string) string {
	flags, glob, _ := strings.Cut(word, "~")
	var grant permission
	for _, f := range strings.ToUpper(flags) {
		switch f {
		case 'R':
			grant |= canRead
		case 'W':
			grant |= canWrite
		default:
			return problemSyntax
		}
	}
	if grant == 0 {
		return problemSyntax
	}
	if glob == "*" && grant == canRead|canWrite {
		r.allKeys, r.keys = true, nil
		return ""
	}
	return r.addKeys(glob, grant)
}

func (r *Rules) addCommands(name string, plus bool) string {
	if cat, ok := strings.CutPrefix(name, "@"); ok {
		bit, known := ParseCategory(cat)
		if !known && cat != "all" {
			return problemUnknown
		}
		for v := range r.commands {
			r.commands[v].category(tables[v], bit, cat == "all", plus)
		}
		return ""
	}
	base, sub, hasSub := strings.Cut(name, "|")
	if hasSub {
		if problem := checkSub(base, sub, plus); problem != "" {
			return problem
		}
	}
	known := false
	for v := range r.commands {
		c := tables[v].byName[base]
		if c == nil {
			continue
		}
		known = true
		if hasSub {
			r.commands[v].sub(c, sub, plus)
		} else {
			r.commands[v].command(c, plus)
		}
	}
	if !known {
		return problemUnknown
	}
	return ""
}

// checkSub refuses what Redis 7 refuses of cmd|sub.
func checkSub(base, sub string, plus bool) string {
	c := tables[Redis7].byName[base]
	if c == nil {
		c = tables[Redis60].byName[base]
	}
	switch {
	case c == nil:
		return problemUnknown
	case strings.Contains(sub, "|"):
		return problemFirstArg
	case sub == "":
		return problemSyntax
	case len(c.Subs) > 0 && c.Sub(sub) == nil, len(c.Subs) == 0 && !plus:
		return problemUnknown
	}
	return ""
}

func (p *permissions) category(t commandTable, cat Category, all, plus bool) {
	for _, c := range t.all {
		if all || c.Categories&cat != 0 {
			p.bits[c.id] = plus
			delete(p.first, c.Base())
			delete(p.not, c.Base())
		}
	}
	p.all = all && plus || p.all && plus
}

func (p *permissions) command(c *Command, plus bool) {
	p.bits[c.id] = plus
	delete(p.first, c.Name)
	delete(p.not, c.Name)
	if c.version != Redis60 {
		for _, s := range c.Subs {
			p.bits[s.id] = plus
		}
	}
	p.all = p.all && plus
}

func (p *permissions) sub(c *Command, sub string, plus bool) {
	p.all = p.all && plus
	if s := c.Sub(sub); s != nil && c.version != Redis60 {
		p.bits[s.id] = plus
		return
	}
	here, there := p.first, p.not
	if !plus {
		here, there = there, here
	}
	there[c.Name] = slices.DeleteFunc(there[c.Name], func(s string) bool { return s == sub })
	if p.bits[c.id] != plus {
		here[c.Name] = append(here[c.Name], sub)
	}
}
