package reauth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// upTo gives a tracker a client's bytes in chunks, and returns what goes out.
func upTo(tr *reauth.Tracker, stream []byte, chunk int) (out []byte) {
	var waits []byte
	for len(stream) > 0 {
		n := min(chunk, len(stream))
		b := append(waits, stream[:n]...)
		waits, stream = nil, stream[n:]
		for len(b) > 0 {
			step := tr.Client(b, false)
			out = append(out, b[:step.Send]...)
			b = b[step.Send+step.Skip:]
			if step.Hold {
				waits = append(waits, b...)
				break
			}
		}
	}
	return out
}

func bulk(n int) string { return strings.Repeat("v", n) }

// sized returns a command of so many bytes.
func sized(n int) []byte {
	for value := range n {
		if b := resp.AppendCommand(nil, "SET", "k", bulk(value)); len(b) == n {
			return b
		}
	}
	panic("no such command")
}

func TestCommandLimit(t *testing.T) {
	const limit = 200
	begins := map[string][]string{
		"at once":                 nil,
		"behind others":           {"PING", "GET k"},
		"behind some alike":       {"SET a b", "SET c d", "SET e f"},
		"in a transaction":        {"MULTI", "SET a b"},
		"unfollowable":            {"MULTI", "SUBSCRIBE c"},
		"monitored":               {"MONITOR", "MONITOR"},
		"behind CLIENT REPLY OFF": {"CLIENT REPLY OFF"},
	}
	for name, lines := range begins {
		var before []byte
		for _, l := range lines {
			before = resp.AppendCommand(before, strings.Fields(l)...)
		}
		for what, tt := range map[string]struct {
			command []byte
			refused bool
		}{
			"N":        {sized(limit), false},
			"N+1":      {sized(limit + 1), true},
			"declared": {[]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$200\r\n"), true},
			"args":     {[]byte("*34\r\n"), true},
			"inline":   {[]byte("SET k " + bulk(195)), true},
			"many":     {[]byte("*7\r\n$4\r\nMSET\r\n" + strings.Repeat("$40\r\n"+bulk(40)+"\r\n", 6)), true},
		} {
			stream := slices.Concat(before, tt.command)
			if what != "args" && what != "many" { // there it would be malformed
				stream = append(stream, "*1\r\n$8\r\nFLUSHALL\r\n"...)
			}
			for chunk := 1; chunk <= len(stream); chunk++ {
				tr := reauth.New()
				tr.Limit(limit, 0)
				got := string(upTo(tr, stream, chunk))
				if !tt.refused {
					if got != string(stream) || tr.TooLarge() != nil {
						t.Errorf("%s, %s, by %d: got %q, %v", name, what, chunk, got, tr.TooLarge())
					}
					continue
				}
				if !strings.HasPrefix(got, string(before)) || what != "declared" && what != "args" && len(got) >= len(before)+len(tt.command) || tr.TooLarge() == nil || tr.TooLarge().What != "command" {
					t.Errorf("%s, %s, by %d: got %q, %v", name, what, chunk, got, tr.TooLarge())
				}
				if chunk == len(stream) && len(got) != len(before) {
					t.Errorf("%s, %s: %q of it went out", name, what, got[len(before):])
				}
				if mute := name == "unfollowable" || name == "monitored"; tr.TooLarge() != nil && tr.TooLarge().Mute != mute {
					t.Errorf("%s, %s: Mute is %v", name, what, !mute)
				}
			}
		}
	}
}

// Behind QUIT, and behind what the server refuses for its form, it reads nothing.
func TestNoLimitWhereNobodyReads(t *testing.T) {
	for _, first := range []string{"*1\r\n$4\r\nQUIT\r\n", "*1\r\n!"} {
		tr := reauth.New()
		tr.Limit(100, 0)
		stream := first + string(sized(200))
		if got := string(upTo(tr, []byte(stream), 7)); got != stream || tr.TooLarge() != nil {
			t.Errorf("got %q, %v", got, tr.TooLarge())
		}
	}
}

func TestReplyLimit(t *testing.T) {
	const limit = 200
	message := func(kind string, n int) string {
		return kind + "3\r\n$7\r\nmessage\r\n$1\r\nc\r\n" + string(resp.AppendBulk(nil, []byte(bulk(n))))
	}
	for name, tt := range map[string]struct {
		lines   string // of the client, separated by commas
		before  string // replies
		reply   string
		refused bool
		mute    bool // even if all comes at once
	}{
		"N":          {"GET k", "", string(resp.AppendBulk(nil, []byte(bulk(192)))), false, false},
		"N+1":        {"GET k", "", string(resp.AppendBulk(nil, []byte(bulk(193)))), true, false},
		"declared":   {"GET k", "", "$193\r\n", true, false},
		"elements":   {"KEYS *", "", "*70\r\n", true, false},
		"nested":     {"EXEC", "", "*2\r\n*2\r\n+OK\r\n$100\r\n" + bulk(100) + "\r\n$100\r\n", true, false},
		"line":       {"GET k", "", "-" + bulk(200), true, false},
		"behind":     {"PING,GET k", "+PONG\r\n", "$1000\r\n", true, false},
		"push":       {"HELLO 3", "%0\r\n", message(">", 200), true, false},
		"push first": {"HELLO 3,GET k", "%0\r\n", message(">", 200), true, true},
		"message":    {"SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", message("*", 200), true, false},
		"many small": {"KEYS *", "", "*50\r\n" + strings.Repeat("+\r\n", 50), false, false},
		"attribute":  {"GET k", "", "|1\r\n+a\r\n$200\r\n", true, false},
	} {
		stream := tt.before + tt.reply
		for chunk := 1; chunk <= len(stream); chunk++ {
			tr := reauth.New()
			tr.Limit(0, limit)
			for l := range strings.SplitSeq(tt.lines, ",") {
				b := resp.AppendCommand(nil, strings.Fields(l)...)
				for step := tr.Client(b, false); step.Send < len(b); step = tr.Client(b, false) {
					if step.Insert != nil && strings.Contains(string(step.Insert), "HELLO") {
						if _, _, err := tr.Server([]byte("-NOPERM\r\n")); err != nil { // as where only RESP2 is spoken
							t.Fatal(err)
						}
					}
				}
			}
			got, err := "", error(nil)
			for rest := []byte(stream); len(rest) > 0 && err == nil; {
				var n int
				var v reauth.Verdict
				n, v, err = tr.Server(rest[:min(chunk, len(rest))])
				if v == reauth.Pass {
					got += string(tr.TakeHeld()) + string(rest[:n])
				}
				rest = rest[n:]
			}
			e, over := errors.AsType[*resp.LimitError](err)
			if !tt.refused {
				if err != nil || got != stream {
					t.Errorf("%s, by %d: got %q, %v", name, chunk, got, err)
				}
				continue
			}
			if !over || e.What != "reply" || e.Max != limit || tr.TooLarge() != e {
				t.Errorf("%s, by %d: got %v", name, chunk, err)
				continue
			}
			if !strings.HasPrefix(got, tt.before) || !strings.HasPrefix(stream, got) || len(got) > len(tt.before)+limit {
				t.Errorf("%s, by %d: got %q", name, chunk, got)
			}
			if mute := tt.mute || len(got) > len(tt.before); e.Mute != mute {
				t.Errorf("%s, by %d: Mute is %v behind %q", name, chunk, e.Mute, got)
			}
			if chunk == len(stream) && got != tt.before {
				t.Errorf("%s: %q was passed on", name, got)
			}
		}
	}
}
