package commands

import (
	"bytes"
	"slices"
	"strings"
)

// A command is stateless if it means the same on any connection to the same
// database, leaves nothing behind there, and is answered with exactly one reply
// without waiting for another client.
//
// The rule goes by what Redis says of a command, so that one that is new to the
// table is right by its flags: it reads or writes data, and carries none of the
// flags and categories below. Everything else has to be listed, and what is
// neither, or not known at all, is stateful.

// carries are the flags of commands that are no use, or do harm, on a shared
// connection.
const carries = FlagAdmin | // MONITOR, PSYNC, REPLCONF, DEBUG, SHUTDOWN, FAILOVER
	FlagAllowBusy | // has to get past a script that may be running on this connection
	FlagAsking | // RESTORE-ASKING
	FlagBlocking |
	FlagNoAuth | // AUTH, HELLO, QUIT, RESET
	FlagNoMulti | // speaks to the connection
	FlagNoscript | // what scripts may not call needs a connection of its own
	FlagPubsub

const ofConnections = CatAdmin | CatBlocking | CatConnection | CatPubsub | CatTransaction

// harmless are the stateless commands that the rule does not find, because they
// touch no data or may not be called by scripts.
var harmless = set(
	// Answered from the server's own state.
	"PING", "ECHO", "TIME", "INFO",
	"COMMAND", "COMMAND COUNT", "COMMAND DOCS", "COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS", "COMMAND INFO", "COMMAND LIST",
	"CLUSTER INFO", "CLUSTER KEYSLOT", "CLUSTER NODES", "CLUSTER SHARDS", "CLUSTER SLOTS",
	"MEMORY USAGE", "OBJECT ENCODING", "OBJECT FREQ", "OBJECT IDLETIME", "OBJECT REFCOUNT",
	"PUBSUB CHANNELS", "PUBSUB NUMPAT", "PUBSUB NUMSUB", "PUBSUB SHARDCHANNELS", "PUBSUB SHARDNUMSUB",
	// To subscribers, who are elsewhere.
	"PUBLISH", "SPUBLISH",
	// Scripts: the database that one selects, and the protocol it sets, end with it.
	// No scripts may call scripts, hence the flag.
	"EVAL", "EVAL_RO", "EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO",
	"SCRIPT EXISTS", "SCRIPT FLUSH", "SCRIPT LOAD",
	"FUNCTION DELETE", "FUNCTION DUMP", "FUNCTION FLUSH", "FUNCTION LIST", "FUNCTION LOAD", "FUNCTION RESTORE",
)

// unlike are commands of modules, with their subcommands, that say they read or
// write data and carry no flag, but are not stateless.
var unlike = set(
	"FT.CONFIG", // the server's settings
	"FT.CURSOR", // through a service's proxy, a cursor may be known only where the connection leads
	"FT.DEBUG",  // some wait
)

// stateless is the rule and the list, by name.
var stateless = func() map[string]bool {
	all := map[string]bool{}
	for name, c := range table {
		command, _, _ := strings.Cut(name, " ")
		// A command that has subcommands is what these are.
		if harmless[name] || c.isStateless() && !unlike[command] && !containers[name] && command != aggregate {
			all[name] = true
		}
	}
	return all
}()

// aggregate is stateless unless it opens a cursor, see FT.CURSOR.
const aggregate = "FT.AGGREGATE"

// containers are commands whose first argument is part of their name.
var containers = func() map[string]bool {
	all := map[string]bool{}
	for name := range table {
		for i := range len(name) {
			if name[i] == ' ' {
				all[name[:i]] = true
			}
		}
	}
	return all
}()

func (c Command) isStateless() bool {
	return c.Flags&(FlagReadonly|FlagWrite) != 0 && c.Flags&carries == 0 && c.Categories&ofConnections == 0
}

func set(names ...string) map[string]bool {
	all := map[string]bool{}
	for _, n := range names {
		all[n] = true
	}
	return all
}

// maxName is longer than any name in the table.
const maxName = 48

// AlwaysStateless is [Stateless] of a command of that name whatever its arguments
// are. There may be more such commands than it knows: of those with long names it
// says no.
func AlwaysStateless(name []byte) bool { return short.has(name) }

// Stateless reports whether a command may travel over a connection to database
// 0 that several clients share. args are its arguments, its name first, or the
// first few of them: all is false then. It does not allocate. In doubt it says
// no.
func Stateless(args [][]byte, all bool) bool {
	if len(args) == 0 {
		return false
	}
	if short.has(args[0]) {
		return true
	}
	var b [maxName]byte
	name, ok := appendUpper(b[:0], args[0])
	if !ok {
		return false
	}
	if stateless[string(name)] {
		return true
	}
	if len(args) > 1 && containers[string(name)] {
		name, ok = appendUpper(append(name, ' '), args[1])
		return ok && stateless[string(name)]
	}
	switch string(name) {
	case "XREAD", "XREADGROUP":
		return !mayBlock(args)
	case "SELECT":
		return all && len(args) == 2 && string(args[1]) == "0"
	case aggregate:
		return all && !slices.ContainsFunc(args, func(a []byte) bool { return bytes.EqualFold(a, []byte("WITHCURSOR")) })
	}
	return false
}

func appendUpper(dst, word []byte) ([]byte, bool) {
	if len(dst)+len(word) > maxName {
		return dst, false
	}
	for _, c := range word {
		if c == ' ' {
			return dst, false // no name holds one; the table's do
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// mayBlock reports whether an XREAD or XREADGROUP has the BLOCK option, which
// stands before STREAMS.
func mayBlock(args [][]byte) bool {
	for i := 1; i < len(args); i++ {
		switch {
		case bytes.EqualFold(args[i], []byte("STREAMS")):
			return false
		case bytes.EqualFold(args[i], []byte("BLOCK")):
			return true
		case bytes.EqualFold(args[i], []byte("GROUP")):
			i += 2
		case bytes.EqualFold(args[i], []byte("COUNT")):
			i++
		}
	}
	return true
}

// LeavesNothing reports whether a command, answered, has left no state on its
// connection and has been answered with one reply: the stateless ones, and
// those that block. The arguments are those of [Stateless].
func LeavesNothing(args [][]byte, all bool) bool {
	if Stateless(args, all) {
		return true
	}
	if len(args) == 0 {
		return false
	}
	var b [maxName]byte
	name, ok := appendUpper(b[:0], args[0])
	if !ok {
		return false
	}
	if string(name) == "WAIT" || string(name) == "WAITAOF" {
		return true
	}
	return table[string(name)].Flags&FlagBlocking != 0
}
