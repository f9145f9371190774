package front_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/emulator/internal/acl"
	"github.com/entraredis/entraredis/emulator/internal/front"
)

// redisServer starts the real server that the environment variable names, on a
// socket of its own; without it the test is skipped.
func redisServer(t *testing.T) (dial func() net.Conn) {
	t.Helper()
	path := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if path == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER names no redis-server")
	}
	dir, err := os.MkdirTemp("", "twin") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--loglevel", "notice")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s does not start: %v", path, err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	log := make([]byte, 0, 4096)
	for !strings.Contains(string(log), "ready to accept connections at") && !strings.Contains(string(log), "The server is now ready") {
		b := make([]byte, 1024)
		n, err := out.Read(b)
		if log = append(log, b[:n]...); err != nil {
			t.Fatalf("%s ended: %s", path, log)
		}
	}
	return func() net.Conn {
		nc, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
}

// twins are a bare server, on which ada is an ordinary ACL user, and the front
// before the same server, on which ada comes from Verify.
func twins(t *testing.T, rules string) (bare, behind *client) {
	dial := redisServer(t)
	admin := newClient(t, dial())
	const password = "pass"
	admin.send(append([]string{"ACL", "SETUSER", "ada", "on", "allchannels", ">" + password}, strings.Fields(rules)...)...)
	admin.want("+OK")
	admin.send("ACL", "SETUSER", "default", "resetpass", ">no")
	admin.want("+OK")
	r := newRig(t, front.Config{Flavor: "redis",
		Backend: func(context.Context) (net.Conn, error) {
			nc := dial()
			c := newClient(t, nc)
			c.send("AUTH", "no")
			c.want("+OK")
			return nc, nil
		},
		Verify: func(user, pass string) (front.Session, error) {
			if user != "ada" || pass != password {
				return front.Session{}, fmt.Errorf("refused")
			}
			parsed, err := acl.Parse(rules)
			return front.Session{Username: user, Rules: parsed}, err
		}})
	return newClient(t, dial()), r.dial(t)
}

// id matches what two connections cannot have in common.
var id = regexp.MustCompile(`(?s)(\$2\r\nid\r\n:)\d+`)

func TestTwin(t *testing.T) {
	bare, behind := twins(t, "+@all -@dangerous +client|list -hset ~a* %R~r*")
	skipped := false // the command before this one was CLIENT REPLY SKIP
	for line := range strings.Lines(`GET a
PING
NOSUCH
NOSUCH a b
CLIENT NOSUCH
GET
HELLO
HELLO 3
HELLO x
HELLO 9
AUTH x
AUTH ada wrong
AUTH a b c
DEL 1 2
AUTH ada pass
ACL WHOAMI
SET a 1
SET b 1
GET b
GET ra
SET ra 1
SET a 1 GET
GETEX a
COPY ra a
SORT a STORE b
BITFIELD ra GET u8 0
BITFIELD ra SET u8 0 1
KEYS *
FLUSHALL
HSET a b c
CONFIG GET maxmemory
CLIENT KILL x
CLIENT GETNAME
CLIENT SETNAME me
CLIENT GETNAME
EVAL return 1
XREAD COUNT 1 STREAMS a b 0 0
XREAD STREAMS as 0
ZUNIONSTORE a 2 b c
MULTI
MULTI
SET a 3
AUTH ada pass
AUTH ada wrong
ACL WHOAMI
CLIENT GETNAME
PING
EXEC
EXEC
MULTI
GET
EXEC
MULTI
SET b 1
EXEC
MULTI
WATCH a
DISCARD
DISCARD
WATCH a
AUTH ada pass
MULTI
PING
EXEC
SUBSCRIBE c
AUTH ada pass
HELLO 3
GET a
PING
UNSUBSCRIBE c
UNSUBSCRIBE
HELLO 3 AUTH ada wrong
HELLO 3 AUTH ada pass SETNAME you
CLIENT GETNAME
GET nothing
SUBSCRIBE c
AUTH ada pass
GET a
UNSUBSCRIBE
HELLO 2 SETNAME
HELLO 2 FOO
CLIENT REPLY SKIP
AUTH ada pass
PING
ACL CAT nosuch
EXEC a
RESET
GET a
AUTH ada pass
CLIENT GETNAME
QUIT
`) {
		words := strings.Fields(line)
		bare.send(words...)
		behind.send(words...)
		if silent := line == "CLIENT REPLY SKIP\n"; silent || skipped {
			skipped = silent
			continue
		}
		got, want := id.ReplaceAllString(behind.read(), "$1"), id.ReplaceAllString(bare.read(), "$1")
		if got != want {
			t.Errorf("%s got  %q\nwant %q", line, got, want)
		}
	}
	behind.closed()
}

// TestTwinACL compares our decision on every command of the table with ACL
// DRYRUN's, for rules of every shape.
func TestTwinACL(t *testing.T) {
	dial := redisServer(t)
	admin := newClient(t, dial())
	for _, rules := range []string{
		"+@all ~*", "+@all -@dangerous +cluster|info +cluster|nodes +cluster|slots allkeys",
		"+@read +@connection +cluster|info +cluster|nodes +cluster|slots allkeys", "+@read ~a*", "+@write %W~a*", "+@all %R~a*",
		"-@all +client +acl|whoami -client|kill ~*", "+@all -client ~*", "+@admin +get ~[a-c]?x*", "allcommands -@all +@hash ~a* resetkeys ~b*",
	} {
		parsed, err := acl.Parse(rules)
		if err != nil {
			t.Errorf("%s: %v", rules, err)
			continue
		}
		admin.send(append([]string{"ACL", "SETUSER", "bob", "reset", "on", "allchannels"}, strings.Fields(rules)...)...)
		admin.want("+OK")
		for _, line := range dryRuns() {
			words := strings.Fields(line)
			args := make([][]byte, len(words))
			for i, w := range words {
				args[i] = []byte(w)
			}
			admin.send(append([]string{"ACL", "DRYRUN", "bob"}, words...)...)
			reply := admin.read()
			if strings.HasPrefix(reply, "-") {
				continue // DRYRUN wants a complete command
			}
			cmd, _ := acl.Lookup(acl.Redis7, args)
			denied := parsed.Check(cmd, args)
			if want := reply == "+OK"; want != (denied == nil) {
				t.Errorf("%q: %s: got %+v, Redis says %q", rules, line, denied, reply)
			}
		}
	}
	for _, rule := range []string{
		"+@nosuch", "+nosuch", "-nosuch", "+config|nosuch", "-config|nosuch", "+config|get|x", "-get|x", "%Q~a", "%~a", "*", "foo", "+client|", "+@all ~* ~a", "&* &b", "%R",
	} {
		admin.send(append([]string{"ACL", "SETUSER", "bob", "reset"}, strings.Fields(rule)...)...)
		want := strings.TrimPrefix(admin.read(), "-ERR ")
		got := "+OK"
		if _, err := acl.Parse(rule); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got  %q\nwant %q", rule, got, want)
		}
	}
}

// dryRuns are commands with arguments enough to be looked at: every one of the
// table with letters for its arguments, and those whose keys stand elsewhere.
func dryRuns() []string {
	var lines []string
	for _, cat := range acl.Categories() {
		bit, _ := acl.ParseCategory(cat)
		for _, name := range acl.InCategory(acl.Redis7, bit) {
			for _, key := range []string{"abx", "b"} {
				lines = append(lines, strings.Replace(name, "|", " ", 1)+strings.Repeat(" "+key, 6))
				for n := range 6 {
					lines = append(lines, strings.Replace(name, "|", " ", 1)+strings.Repeat(" "+key, n))
				}
			}
		}
	}
	return append(lines, strings.Split(strings.TrimSpace(`
EVAL x 1 a
EVAL x 2 a b
EVAL x 0 b
ZUNIONSTORE a 2 a1 b
ZINTER 2 a a1
XREAD COUNT 2 STREAMS a a1 0 0
XREAD STREAMS a b 0 0
XREADGROUP GROUP b b STREAMS a 0
GEORADIUS a 1 1 1 m STORE b
GEORADIUS a 1 1 1 m STOREDIST a2
SORT a BY x STORE b
SORT a LIMIT 0 1 GET store STORE a2
SET a b GET
SET a b EX 1
BITFIELD a GET u8 0
BITFIELD a SET u8 0 1
MSET a 1 b 1
MGET a a1
BLPOP a b 0
LMPOP 2 a b LEFT
BITOP AND a b c
COPY a b
RENAME a b
SMOVE a b c
OBJECT ENCODING a
MEMORY USAGE a
XGROUP CREATE a g 0
PFCOUNT a b
MIGRATE h 1 a 0 1
BRPOPLPUSH a b 0
SUBSCRIBE c
PUBLISH c x
SSUBSCRIBE c`), "\n")...)
}
