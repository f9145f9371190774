package doctor

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/entraredis/entraredis"
)

// probe is a command whose answer tells whether it is permitted, and that does
// nothing if it is. Redis looks at the access policy before it looks at a
// command's arguments, so a command that is wrong in itself tells as well.
type probe struct {
	area string // what a person would call it
	args []string
	rule string // what in an access policy permits it
	// usual marks what every built-in policy that may write has.
	usual bool
}

func probes(key, channel string) []probe {
	return []probe{
		{"connection", []string{"PING"}, "+@connection", true},
		{"read", []string{"GET", key}, "+@read", true},
		// Two options that exclude each other: a syntax error, never a write.
		{"write", []string{"SET", key, "x", "NX", "XX"}, "+@write", true},
		{"transactions", []string{"DISCARD"}, "+@transaction", true},                                // without MULTI an error
		{"scripts", []string{"EVALSHA", strings.Repeat("0", 40), "0"}, "+@scripting", true},         // there is no such script
		{"publish", []string{"PUBLISH", channel, ""}, "+@pubsub and, on Redis 7, &<channel>", true}, // nobody listens there
		{"subscribe", []string{"SUBSCRIBE", channel}, "+@pubsub and, on Redis 7, &<channel>", true}, // and UNSUBSCRIBE behind it
		{"server information", []string{"INFO", "server"}, "+info", false},
		{"administration", []string{"SLOWLOG", "LEN"}, "+@admin (part of the policy Data Owner)", false},
	}
}

// ownKey is a key, or a channel, that nobody else has.
func ownKey() string { return "entraredis:doctor:" + strings.ToLower(rand.Text()) }

func checkPermissions(ctx context.Context, x *exam, r *Result) {
	own := ownKey()
	key := x.Key
	if key == "" {
		key = own
	}
	var found permissions
	for _, p := range probes(key, own) {
		reply, err := x.conn.do(ctx, p.args...)
		if err == nil && p.area == "subscribe" && !isRefusal(reply) {
			_, err = x.conn.do(ctx, "UNSUBSCRIBE", own)
		}
		if err != nil {
			x.endedIn(r, p.args[0], err)
			return
		}
		refused, _ := reply.(refusal)
		switch {
		case refused.permission():
			r.fact(p.area, "no: %q", string(refused))
			if p.usual {
				found.refuse(p, refused)
			}
		case refused.unknown():
			r.fact(p.area, "not offered by this service (%s)", p.args[0])
		default:
			r.fact(p.area, "yes")
			found.may = append(found.may, p.area)
		}
	}
	r.say("may %s", orNothing(found.may))
	if len(found.mayNot) > 0 {
		r.Summary += "; may not " + strings.Join(found.mayNot, ", ")
		x.restricted(r, found)
	}
	if x.WriteProbe {
		x.writeProbe(ctx, r, own)
	}
}

// permissions are what the probes found out, of the usual areas.
type permissions struct {
	may, mayNot []string // areas
	replies     []string // the refusals
	lacks       []string // rules that would permit them
	keys        bool     // a key was refused, not a command
}

func (p *permissions) refuse(by probe, reply refusal) {
	p.mayNot = append(p.mayNot, by.area)
	p.replies = append(p.replies, fmt.Sprintf("%s: %q", by.args[0], string(reply)))
	if !slices.Contains(p.lacks, by.rule) {
		p.lacks = append(p.lacks, by.rule)
	}
	p.keys = p.keys || aboutKeys(reply)
}

// restricted says what the access policy leaves out.
func (x *exam) restricted(r *Result, found permissions) {
	f := Finding{Kind: entraredis.KindNoPermission, Observed: strings.Join(found.replies, "; "),
		Means:  "authenticated; the access policy permits no more. For a program that only does what it may, this is as it should be",
		Remedy: fmt.Sprintf("To permit it, assign another policy (portal: Data Access Configuration > Redis Users) or add to the custom one: %s. See what there is: az redis access-policy list -g <group> -n <cache>", strings.Join(found.lacks, ", "))}
	switch {
	case found.keys && x.Key == "":
		f.Anchor = "key-unknown"
		f.Means = "authenticated; the access policy permits certain keys only, and the key that was tried is none of them"
		f.Remedy = "Run again with a key your program uses: --key <name> (it is not changed). If that is refused too, add a pattern that fits to the policy: ~<prefix>*."
	case found.keys:
		f.Anchor = "key-pattern"
		f.Means = fmt.Sprintf("authenticated; the access policy does not reach the key %q", x.Key)
		f.Remedy = "Add a pattern that fits the key to the policy (portal: Data Access Configuration > the custom policy > Permissions): ~<prefix>*, or allkeys."
	case !slices.Contains(found.may, "read") && !slices.Contains(found.may, "write"):
		f.Anchor = "nothing-permitted"
		f.Means = "authenticated, but the access policy permits neither reading nor writing"
		f.Remedy = "Assign a policy that does: Data Reader, Data Contributor or Data Owner (portal: Data Access Configuration > Redis Users), or add +@read or +@write and a key pattern (~* or allkeys) to the custom one."
		r.fail(f)
		return
	case slices.Contains(found.mayNot, "connection"):
		f.Anchor = "no-ping"
		f.Means = "authenticated; the access policy leaves PING out, with which clients and pools look whether a connection lives"
		f.Remedy = "Add +ping to the custom access policy (portal: Data Access Configuration > the policy > Permissions)."
	case slices.Contains(found.mayNot, "write"):
		f.Anchor = "read-only"
		f.Means = "authenticated; the identity may read and not write, as with Data Reader"
		f.Remedy = "If the program is to write, assign Data Contributor: az redis access-policy-assignment create -g <group> -n <cache> --policy-assignment-name <name> --access-policy-name \"Data Contributor\" --object-id <oid> --object-id-alias <name>"
	}
	r.warn(f)
}

// maxMoved bounds the search for a key that the node connected to holds: with
// a hundred nodes, one in a thousand searches ends in vain.
const maxMoved = 700

// writeProbe writes a key that did not exist, reads it and deletes it.
func (x *exam) writeProbe(ctx context.Context, r *Result, key string) {
	set := func() []string { return []string{"SET", key, "1", "NX", "EX", "60"} }
	steps := []func() []string{set, func() []string { return []string{"GET", key} }, func() []string { return []string{"DEL", key} }}
	for step, moved := 0, 0; step < len(steps); step++ {
		args := steps[step]()
		reply, err := x.conn.do(ctx, args...)
		if err != nil {
			x.endedIn(r, args[0], err)
			return
		}
		refused, ok := reply.(refusal)
		if !ok {
			continue
		}
		if strings.HasPrefix(string(refused), "MOVED ") && step == 0 && moved < maxMoved {
			// Another node of the cluster holds that key; any key will do.
			key, step, moved = ownKey(), -1, moved+1
			continue
		}
		r.fact("write probe", "%s: %q", args[0], string(refused))
		f := Finding{Kind: entraredis.KindUnknown, Anchor: "write-probe", Observed: fmt.Sprintf("%s %s: %q", args[0], key, string(refused)),
			Means:  "the command is permitted, and the cache could not carry it out",
			Remedy: "What the reply names: OOM is a full cache (Overview > Used Memory; a larger size, or an eviction policy), LOADING and CLUSTERDOWN pass, READONLY is a replica: connect by the cache's host name."}
		if refused.permission() {
			f.Kind, f.Anchor = entraredis.KindNoPermission, "write-not-permitted"
			f.Means = "authenticated; the access policy does not permit the write that was asked for with --write-probe"
			f.Remedy = "If the program only reads, leave --write-probe out. If it writes other keys than entraredis:doctor:*, this says nothing about those. Otherwise assign a policy that writes, such as Data Contributor."
		}
		r.fail(f)
		r.say("the write probe failed at %s", args[0])
		return
	}
	r.fact("write probe", "wrote, read and deleted %s", key)
	r.Summary += "; wrote, read and deleted a key"
}

const cutOffRemedy = "Try again in a minute: a failover ends connections so. If it stays so, look for a proxy or firewall that cuts connections, and at the cache's Errors metric."

// endedIn notes that the connection ended in the midst of a check.
func (x *exam) endedIn(r *Result, command string, err error) {
	r.say("the connection ended at %s", command)
	r.fail(Finding{Kind: entraredis.KindUnreachable, Anchor: "cut-off", Observed: command + ": " + err.Error(),
		Means: "the connection ended in the midst of a command, although AUTH had been accepted", Remedy: cutOffRemedy})
}

func isRefusal(reply any) bool {
	_, ok := reply.(refusal)
	return ok
}

// aboutKeys tells a refused key from a refused command.
func aboutKeys(r refusal) bool {
	text := strings.ToLower(string(r))
	return strings.Contains(text, "keys used as arguments") || strings.Contains(text, "access a key") || strings.Contains(text, "access the '")
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "do nothing"
	}
	return "use " + strings.Join(list, ", ")
}
