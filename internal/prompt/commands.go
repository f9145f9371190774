package prompt

import (
	"sort"
	"strings"
)

// Command is a command of Redis, or a subcommand with its container's name
// before its own ("CONFIG GET"), in upper case.
type Command struct {
	Name    string
	Args    []string // each as Redis documents it: key, [EX seconds | PX milliseconds], ...
	Summary string
}

// Find returns the command that words begin with, and how many words its name
// has; 0 if there is none.
func Find(words []string) (Command, int) {
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.ToUpper(strings.Join(words[:n], " "))
		i := sort.Search(len(Commands), func(i int) bool { return Commands[i].Name >= name })
		if i < len(Commands) && Commands[i].Name == name {
			return Commands[i], n
		}
	}
	return Command{}, 0
}

// Complete returns the commands whose name begins with prefix, in any case: of
// "config g" those with two words that begin so.
func Complete(prefix string) []Command {
	prefix = strings.ToUpper(prefix)
	var found []Command
	for _, c := range Commands {
		// Subcommands are offered when their container has been typed.
		if strings.HasPrefix(c.Name, prefix) && strings.Count(c.Name, " ") == strings.Count(prefix, " ") {
			found = append(found, c)
		}
	}
	return found
}

// Hint returns the arguments that may follow those typed, "" if there is no
// such command or nothing may follow. words are those that are complete; of a
// command that is typed in full that is its name too.
func Hint(words []string) string {
	c, n := Find(words)
	if n == 0 {
		return ""
	}
	rest := c.Args
	for typed := len(words) - n; typed > 0 && len(rest) > 0; typed-- {
		// What stands behind an optional or repeated argument cannot be told
		// by counting; then all of it may follow.
		if !once(rest[0]) {
			break
		}
		rest = rest[1:]
	}
	return strings.Join(rest, " ")
}

// once reports whether an argument takes exactly one word.
func once(arg string) bool { return !strings.ContainsAny(arg, " [") }

// Usage returns the whole syntax of a command.
func (c Command) Usage() string { return strings.TrimSpace(c.Name + " " + strings.Join(c.Args, " ")) }
