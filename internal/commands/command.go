package commands

// Flags are a command's flags, as a set.
type Flags uint32

// Categories are a command's ACL categories, as a set.
type Categories uint32

// Command is what Redis says of a command.
type Command struct {
	// Arity is the number of arguments, the name included; negative: at least
	// as many.
	Arity      int
	Flags      Flags
	Categories Categories
}

// Find returns the command of that name: upper case, a subcommand behind its
// command and a blank ("CLUSTER SLOTS").
func Find(name string) (Command, bool) {
	c, ok := table[name]
	return c, ok
}

// Names returns the names of all commands and subcommands, in no order.
func Names() []string {
	names := make([]string, 0, len(table))
	for n := range table {
		names = append(names, n)
	}
	return names
}
