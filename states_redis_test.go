package entraredis_test

import (
	"os"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

// What a connection sends to a Redis in TestRedisOnAuth, and the beginning of
// what it gets; behind a * comes what it contains.
type turn struct {
	send string // words, or "other: words" for a second connection
	want string // "" is no reply
}

const (
	auth    = "AUTH entra secret"
	refused = "AUTH entra wrong"
)

// redisOnAuth is what a Redis 7.0 does with an AUTH, as docs/states.md says.
var redisOnAuth = map[string][]turn{
	"idle":         {{auth, "+OK"}, {"ACL WHOAMI", "$5\r\nentra"}},
	"pipeline":     {{"SET k v;" + auth + ";GET k", "+OK\r\n+OK\r\n$1\r\nv"}},
	"transaction":  {{"MULTI", "+OK"}, {auth, "+QUEUED"}, {"EXEC", "*1\r\n+OK"}},
	"watch":        {{"WATCH w", "+OK"}, {auth, "+OK"}, {"other: SET w 1", "+OK"}, {"MULTI", "+OK"}, {"EXEC", "*-1"}},
	"resp2":        {{"SUBSCRIBE c", "*3"}, {auth, "-ERR Can't execute 'auth'"}, {"HELLO 3", "-ERR Can't execute 'hello'"}},
	"resp3":        {{"HELLO 3", "%7"}, {"SUBSCRIBE c", ">3"}, {auth, "+OK"}, {"other: PUBLISH c m", ":1"}, {"", ">3\r\n$7\r\nmessage"}},
	"monitor":      {{"MONITOR", "+OK"}, {auth, "+OK"}, {"", `* "AUTH" "(redacted)"`}, {"other: " + auth, "+OK"}, {"", `* "AUTH" "(redacted)"`}},
	"reply off":    {{"CLIENT REPLY OFF", ""}, {auth, ""}, {refused, ""}, {"CLIENT REPLY ON", "+OK"}, {"ACL WHOAMI", "$5\r\nentra"}},
	"reply skip":   {{"CLIENT REPLY SKIP", ""}, {auth, ""}, {"PING", "+PONG"}},
	"tracking":     {{"HELLO 3", "%7"}, {"CLIENT TRACKING ON", "+OK"}, {"GET t", "_"}, {auth, "+OK"}, {"other: SET t 1", "+OK"}, {"", ">2\r\n$10\r\ninvalidate"}},
	"database":     {{"SELECT 3", "+OK"}, {"SET d three", "+OK"}, {auth, "+OK"}, {"GET d", "$5\r\nthree"}},
	"name":         {{"CLIENT SETNAME n", "+OK"}, {auth, "+OK"}, {"CLIENT GETNAME", "$1\r\nn"}},
	"protocol":     {{"HELLO 3", "%7"}, {auth, "+OK"}, {"GET nothing", "_"}},
	"reset":        {{auth, "+OK"}, {"RESET", "+RESET"}, {"ACL WHOAMI", "$7\r\ndefault"}},
	"refused":      {{auth, "+OK"}, {refused, "-WRONGPASS"}, {"ACL WHOAMI", "$5\r\nentra"}},
	"own":          {{auth, "+OK"}, {"AUTH default any", "+OK"}, {"ACL WHOAMI", "$7\r\ndefault"}},
	"script":       {{"EVAL return(1) 0;" + auth, ":1\r\n+OK"}},
	"blocked":      {{"BLPOP l 0;" + auth, ""}, {"other: RPUSH l x", ":1"}, {"", "*2\r\n$1\r\nl\r\n$1\r\nx\r\n+OK"}},
	"quit":         {{"QUIT;" + auth, "+OK"}},
	"half command": {{"raw: *2\r\n$4\r\nECHO\r\n$4\r\n", ""}, {"raw: AUTH\r\n", "$4\r\nAUTH"}},
}

func TestRedisOnAuth(t *testing.T) {
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set")
	}
	addr := startRedisServer(t, bin, "--user", "entra", "on", ">secret", "+@all", "~*", "&*")
	for name, turns := range redisOnAuth {
		t.Run(name, func(t *testing.T) {
			h := &held{T: t}
			t.Cleanup(h.closeAll)
			c, other := h.adminOf(addr), h.adminOf(addr)
			other.do("+OK\r\n", "FLUSHALL")
			for _, turn := range turns {
				l, words := c, turn.send
				if rest, ok := strings.CutPrefix(words, "other: "); ok {
					l, words = other, rest
				}
				if raw, ok := strings.CutPrefix(words, "raw: "); ok {
					if _, err := l.Write([]byte(raw)); err != nil {
						t.Fatal(err)
					}
				} else if words != "" {
					var b []byte
					for command := range strings.SplitSeq(words, ";") {
						b = resp.AppendCommand(b, strings.Fields(command)...)
					}
					if _, err := l.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				if part, ok := strings.CutPrefix(turn.want, "* "); ok {
					if f, err := l.r.ReadFrame(); err != nil || !strings.Contains(string(f), part) {
						t.Fatalf("got %q, %v, want a line with %q", f, err, part)
					}
					continue
				}
				for got := ""; len(got) < len(turn.want); {
					f, err := l.r.ReadFrame()
					if err != nil {
						t.Fatalf("%q: got %q, %v, want %q", turn.send, got, err, turn.want)
					}
					got += string(f)
					if n := min(len(got), len(turn.want)); got[:n] != turn.want[:n] {
						t.Fatalf("%q: got %q, want %q", turn.send, got, turn.want)
					}
				}
			}
			if name == "monitor" {
				return // it goes on
			}
			if name == "quit" {
				if f, err := c.r.ReadFrame(); err == nil {
					t.Errorf("got %q behind QUIT", f)
				}
				return
			}
			// Nothing is left over.
			if name != "resp2" {
				c.do("+PONG\r\n", "PING")
			}
		})
	}
}
