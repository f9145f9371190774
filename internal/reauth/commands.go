package reauth

import (
	"bytes"
	"strconv"
)

// family is a kind of subscription; each is counted apart.
type family uint8

const (
	channels family = iota
	patterns
	shards
)

// kinds holds the commands that change what the connection is; every other
// one is plain. Names: redis.io "Commands".
var kinds = map[string]entry{
	"AUTH":         {kind: clientAuth},
	"HELLO":        {kind: hello},
	"MULTI":        {kind: multi},
	"EXEC":         {kind: exec},
	"DISCARD":      {kind: discard},
	"RESET":        {kind: reset},
	"SUBSCRIBE":    {kind: subscribe, family: channels},
	"PSUBSCRIBE":   {kind: subscribe, family: patterns},
	"SSUBSCRIBE":   {kind: subscribe, family: shards},
	"UNSUBSCRIBE":  {kind: unsubscribe, family: channels},
	"PUNSUBSCRIBE": {kind: unsubscribe, family: patterns},
	"SUNSUBSCRIBE": {kind: unsubscribe, family: shards},
	"MONITOR":      {kind: monitor},
	"SYNC":         {kind: replicate},
	"PSYNC":        {kind: replicate},
	"REPLCONF":     {kind: replicate},
	"BLPOP":        {kind: blocking},
	"BRPOP":        {kind: blocking},
	"BLMOVE":       {kind: blocking},
	"BLMPOP":       {kind: blocking},
	"BRPOPLPUSH":   {kind: blocking},
	"BZPOPMIN":     {kind: blocking},
	"BZPOPMAX":     {kind: blocking},
	"BZMPOP":       {kind: blocking},
	"WAIT":         {kind: blocking},
	"WAITAOF":      {kind: blocking},
	"PING":         {kind: ping, n: 1},
	"SELECT":       {kind: settingCommand},
	"READONLY":     {kind: settingCommand},
	"READWRITE":    {kind: settingCommand},
	"WATCH":        {kind: settingCommand},
	"UNWATCH":      {kind: settingCommand},
	// These depend on their arguments: see classify.
	"ASKING":     {},
	"CLIENT":     {},
	"XREAD":      {},
	"XREADGROUP": {},
	"QUIT":       {},
	"SCRIPT":     {},
}

// lengths has a bit for each length of a name in kinds, by first letter: most
// plain commands are told by it, without a look into the map.
var lengths = func() (l ['Z' + 1]uint32) {
	for name := range kinds {
		l[name[0]] |= 1 << len(name)
	}
	return l
}()

// special looks a name up in kinds.
func special(name []byte) (e entry, ok bool) {
	if len(name) == 0 || name[0] > 'Z' || lengths[name[0]]>>len(name)&1 == 0 {
		return entry{}, false
	}
	e, ok = kinds[string(name)]
	return e, ok
}

// keep says how many arguments of a command classify needs to see; -1 if
// upstream has to switch its protocol before it.
func (t *Tracker) keep(name []byte) int {
	t.command, t.special = special(name)
	if t.switchTo = t.wantsSwitch(name); t.switchTo != 0 {
		return -1
	}
	if !t.special {
		return 0
	}
	switch string(name) {
	case "CLIENT", "SCRIPT":
		return 2
	case "HELLO":
		return 8
	case "XREAD", "XREADGROUP":
		return 16
	}
	return 0
}

// classify says what the command just read changes.
func (t *Tracker) classify() entry {
	if !t.special {
		return entry{kind: plain, n: 1}
	}
	name, e := t.requests.Name(), t.command
	n := t.requests.Args()
	switch string(name) {
	case "PING":
		if !t.upgraded {
			e.kind = plain
		}
	case "SCRIPT":
		if bytes.EqualFold(t.requests.Arg(1), []byte("DEBUG")) {
			e.kind = replicate // the connection becomes a debugger's
		}
	case "RESET":
		if n != 1 {
			e.kind = plain // refused, and nobody is logged out
		}
	case "CLIENT":
		e = t.classifyClient()
	case "XREAD", "XREADGROUP":
		if t.blocks() {
			e.kind = blocking
		}
	case "HELLO":
		e.n, _ = strconv.Atoi(string(t.requests.Arg(1)))
		e.login, e.bare = t.carriesAuth(), n == 2
	}
	switch e.kind {
	case subscribe:
		e.n = max(1, n-1)
	case unsubscribe:
		e.n = n - 1
	case plain:
		e.n = 1
	}
	return e
}

// carriesAuth reports whether a HELLO has the AUTH option; SETNAME may stand
// before it, with any name.
func (t *Tracker) carriesAuth() bool {
	for i := 2; i < t.requests.Args(); i += 2 {
		if bytes.EqualFold(t.requests.Arg(i), []byte("AUTH")) {
			return true
		}
	}
	return false
}

func (t *Tracker) classifyClient() entry {
	if t.requests.Args() == 3 && bytes.EqualFold(t.requests.Arg(1), []byte("REPLY")) {
		switch mode := t.requests.Arg(2); {
		case bytes.EqualFold(mode, []byte("OFF")):
			return entry{kind: replyOff}
		case bytes.EqualFold(mode, []byte("ON")):
			return entry{kind: replyOn}
		case bytes.EqualFold(mode, []byte("SKIP")):
			return entry{kind: replySkip}
		}
	}
	if t.tells() {
		return entry{kind: plain, n: 1}
	}
	return entry{kind: settingCommand}
}

// blocks reports whether an XREAD or XREADGROUP has the BLOCK option, which
// stands before STREAMS.
func (t *Tracker) blocks() bool {
	for i := 1; i < t.requests.Args(); i++ {
		switch arg := t.requests.Arg(i); {
		case arg == nil:
			return true // further away than what is kept: in doubt, yes
		case bytes.EqualFold(arg, []byte("BLOCK")):
			return true
		case bytes.EqualFold(arg, []byte("STREAMS")):
			return false
		case bytes.EqualFold(arg, []byte("GROUP")):
			i += 2
		case bytes.EqualFold(arg, []byte("COUNT")):
			i++
		}
	}
	return false
}
