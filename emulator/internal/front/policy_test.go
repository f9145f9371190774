package front_test

import (
	"strings"
	"testing"

	"github.com/entraredis/entraredis/emulator/internal/acl"
	"github.com/entraredis/entraredis/emulator/internal/front"
)

// What Azure Cache for Redis's built-in policies permit on Redis 6.0.
func TestBuiltInPolicies(t *testing.T) {
	const o, c, r = "Data Owner", "Data Contributor", "Data Reader"
	for _, row := range []struct {
		line string
		may  []string
	}{
		{"GET a", []string{o, c, r}},
		{"SET a 1", []string{o, c}},
		{"PING", []string{o, c, r}},
		{"ECHO x", []string{o, c, r}},
		{"HELLO 2", []string{o, c, r}},
		{"COMMAND COUNT", []string{o, c, r}},
		{"SELECT 0", []string{o, c}},
		{"MULTI", []string{o, c}},
		{"EVAL return 0", []string{o, c}},
		{"PUBLISH a x", []string{o, c}},
		{"KEYS *", []string{o, r}},
		{"CLUSTER SLOTS", []string{o, c, r}},
		{"CLUSTER KEYSLOT a", []string{o}},
		{"CLIENT GETNAME", []string{o, r}},
		{"CLIENT SETNAME x", []string{o, r}},
		{"ACL WHOAMI", []string{o}},
		{"INFO", []string{o}},
		{"FLUSHALL", []string{o}},
		{"SWAPDB 0 1", []string{o}},
		{"ROLE", []string{o, r}},
		{"SORT a", []string{o}},
		{"SUBSCRIBE a", []string{o, c}},
	} {
		for _, policy := range []string{o, c, r} {
			t.Run(policy+" "+row.line, func(t *testing.T) {
				cl := newRig(t, front.Config{}).dial(t)
				cl.login(policy + ";1h")
				words := strings.Fields(row.line)
				if words[0] == "EVAL" {
					words = []string{"EVAL", "return 0", "0"}
				}
				cl.send(words...)
				got := cl.read()
				want := strings.Contains(strings.Join(row.may, ","), policy)
				if refused := strings.HasPrefix(got, "-NOPERM"); refused == want {
					t.Errorf("got %q, want permitted: %v", got, want)
				}
			})
		}
	}
}

func TestDenied(t *testing.T) {
	for _, row := range []struct{ flavor, rules, line, want string }{
		{"acr", "+@read ~app:*", "SET app:1 x", "-NOPERM this user has no permissions to run the 'set' command or its subcommand"},
		{"acr", "+@read ~app:*", "GET b", "-NOPERM this user has no permissions to access one of the keys used as arguments"},
		{"acr", "+@read ~app:*", "GET app:1", "$-1"},
		{"acr", "+@read ~app:*", "PING", "-NOPERM this user has no permissions to run the 'ping' command or its subcommand"},
		{"acr", "+@read ~app:*", "HELLO 2", "-NOPERM this user has no permissions to run the 'hello' command or its subcommand"},
		{"acr", "+@read ~app:*", "CLIENT LIST", "-NOPERM this user has no permissions to run the 'client' command or its subcommand"},
		{"acr", "+@read ~app:*", "EXEC", "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command or its subcommand"},
		{"amr", "+@read ~app:*", "SET app:1 x", "-NOPERM User ada has no permissions to run the 'set' command"},
		{"amr", "+@read ~app:*", "CLIENT LIST", "-NOPERM User ada has no permissions to run the 'client|list' command"},
		{"amr", "+@read ~app:*", "GET b", "-NOPERM No permissions to access a key"},
		{"amr", "+@pubsub &a*", "PUBLISH b x", "-NOPERM No permissions to access a channel"},
		{"amr", "+@pubsub &a*", "PUBLISH ab x", ":0"},
		{"amr", "+@pubsub", "PUBLISH b x", ":0"},
		{"redis", "+@read ~app:*", "CLIENT LIST", "-NOPERM this user has no permissions to run the 'client|list' command"},
	} {
		t.Run(row.flavor+" "+row.line, func(t *testing.T) {
			c := newRig(t, front.Config{Flavor: row.flavor}).dial(t)
			c.login(row.rules + ";1h")
			c.do(row.line, row.want)
		})
	}
}

func TestSetRules(t *testing.T) {
	r := newRig(t, front.Config{})
	c, other := r.dial(t), r.dial(t)
	c.login(owner)
	other.send("AUTH", "bob", owner)
	other.want("+OK")
	rules, err := acl.Parse("+@read allkeys")
	if err != nil {
		t.Fatal(err)
	}
	r.SetRules("ada", rules)
	c.do("SET a 1", "-NOPERM this user has no permissions to run the 'set' command or its subcommand")
	c.do("GET a", "$-1")
	other.do("SET a 1", "+OK")
}

func TestLocalCommands(t *testing.T) {
	for _, row := range []struct{ flavor, line, want string }{
		{"acr", "CLIENT GETNAME", "$-1"},
		{"acr", "CLIENT SETNAME a", "+OK"},
		{"acr", "CLIENT ID", ":1"},
		{"acr", "CLIENT SETINFO LIB-NAME x", "-ERR Unknown subcommand or wrong number of arguments for 'SETINFO'. Try CLIENT HELP."},
		{"acr", "GETEX a", "-ERR unknown command `GETEX`, with args beginning with: `a`, "},
		{"acr", "CLUSTER FORGET x", "-ERR unknown command `CLUSTER`, with args beginning with: `FORGET`, `x`, "},
		{"acr", "CLUSTER SLOTS", "-ERR This instance has cluster support disabled"},
		{"acr", "INFO replication", "$48\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"},
		{"acr", "COMMAND DOCS get", "-ERR Unknown subcommand or wrong number of arguments for 'DOCS'. Try COMMAND HELP."},
		{"amr", "CLIENT SETINFO LIB-NAME x", "+OK"},
		{"amr", "CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'"},
		{"amr", "CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."},
		{"amr", "CLIENT TRACKING on", "-ERR unknown command 'CLIENT', with args beginning with: 'TRACKING' 'on' "},
		{"amr", "CLIENT NO-TOUCH on", "+OK"},
		{"amr", "CLIENT KILL x", "-ERR CLIENT KILL is not emulated"},
		{"amr", "ACL LIST", "-ERR ACL LIST is not emulated"},
		{"amr", "ACL CAT nosuch", "-ERR Unknown category 'nosuch'"},
		{"redis", "CLIENT NO-EVICT on", "+OK"},
	} {
		t.Run(row.flavor+" "+row.line, func(t *testing.T) {
			c := newRig(t, front.Config{Flavor: row.flavor}).dial(t)
			c.login(owner)
			c.do(row.line, row.want)
		})
	}
	c := newRig(t, front.Config{Flavor: "amr"}).dial(t)
	c.login(owner)
	c.send("CLIENT", "INFO")
	if got := c.read(); !strings.Contains(got, " user=ada ") {
		t.Errorf("got %q, want the user in it", got)
	}
	c.send("ACL", "CAT")
	if got := c.read(); !strings.HasPrefix(got, "*21\r\n$8\r\nkeyspace\r\n") {
		t.Errorf("got %q, want 21 categories", got)
	}
}
