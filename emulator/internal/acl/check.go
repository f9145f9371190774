package acl

import "slices"

// Reason says what was refused.
type Reason uint8

// The reasons, in the order Redis checks them.
const (
	DeniedCommand Reason = iota + 1
	DeniedKey
	DeniedChannel
)

// Denied is a refusal. How it is worded is the server's affair.
type Denied struct {
	Reason  Reason
	Command string // the command's full name, lower case
	Arg     string // the key or channel
}

// Check decides about a command: nil permits it. args are all words of the
// command, cmd what [Lookup] found for them. AUTH is always permitted, in
// Redis 7 with it every command that answers without authentication.
func (r *Rules) Check(cmd *Command, args [][]byte) *Denied {
	if !r.command(cmd, args) {
		return &Denied{Reason: DeniedCommand, Command: cmd.Name}
	}
	if r == nil {
		return nil
	}
	if !r.allKeys {
		for _, k := range cmd.keyRefs(args) {
			if !r.key(string(args[k.pos]), k.need, cmd.version) {
				return &Denied{Reason: DeniedKey, Command: cmd.Name, Arg: string(args[k.pos])}
			}
		}
	}
	if r.restrict && !r.allChannels && cmd.version != Redis60 {
		for _, ch := range channels(cmd, args) {
			if !r.channel(ch, cmd.Name == "psubscribe") {
				return &Denied{Reason: DeniedChannel, Command: cmd.Name, Arg: ch}
			}
		}
	}
	return nil
}

// All reports whether every command is permitted, also one that is in no
// table, such as a module's.
func (r *Rules) All(v Version) bool { return r != nil && r.commands[v].all }

func (r *Rules) command(cmd *Command, args [][]byte) bool {
	if cmd.Name == "auth" || cmd.NoAuth && cmd.version != Redis60 {
		return true
	}
	if r == nil {
		return false
	}
	p := &r.commands[cmd.version]
	at := 1
	if cmd.parent != nil {
		at = 2
	}
	arg := ""
	if at < len(args) {
		arg = lower(args[at])
	}
	if p.bits[cmd.id] {
		return !slices.Contains(p.not[cmd.Name], arg)
	}
	return arg != "" && slices.Contains(p.first[cmd.Name], arg)
}

// key checks one key. A command that needs neither to read nor to write it
// (EXISTS, TYPE) is content with any pattern that fits. Redis 6.0 knows only
// patterns that grant everything.
func (r *Rules) key(key string, need permission, v Version) bool {
	if v == Redis60 {
		need = canRead | canWrite
	}
	return slices.ContainsFunc(r.keys, func(p keyPattern) bool {
		return p.grant&need == need && match(p.glob, key)
	})
}

// channel checks one channel; a pattern subscribed to must be one of the
// user's own, word by word.
func (r *Rules) channel(ch string, literal bool) bool {
	return slices.ContainsFunc(r.channels, func(p string) bool {
		return p == ch || !literal && match(p, ch)
	})
}

// channels are the channels, or patterns of them, among a command's words.
func channels(cmd *Command, args [][]byte) []string {
	to := len(args)
	switch cmd.Name {
	case "publish", "spublish":
		to = 2
	case "subscribe", "psubscribe", "ssubscribe":
	default:
		return nil
	}
	var list []string
	for _, a := range args[1:to] {
		list = append(list, string(a))
	}
	return list
}
