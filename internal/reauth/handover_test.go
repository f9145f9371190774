package reauth_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// talkTo feeds a Tracker with lines: what begins with ">" the client sends (its
// words, or with ">>" bytes as they stand), the rest comes from the server, in
// pieces of the given size; 0 is in one.
func talkTo(t *testing.T, tr *reauth.Tracker, piece int, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if raw, ok := strings.CutPrefix(line, ">>"); ok {
			tr.Client([]byte(raw), false)
			continue
		}
		if words, ok := strings.CutPrefix(line, ">"); ok {
			b := resp.AppendCommand(nil, strings.Fields(words)...)
			if step := tr.Client(b, false); step.Insert != nil {
				// HELLO 3 is refused here.
				b = b[step.Send:]
				talkTo(t, tr, piece, "-ERR unknown command 'HELLO'")
				tr.Client(b, false)
			}
			continue
		}
		if line[0] == '*' { // an array of bulk strings and integers, in words
			words := strings.Fields(line[1:])
			line = fmt.Sprintf("*%d", len(words))
			for _, w := range words {
				switch {
				case w[0] == ':':
					line += "\r\n" + w
				case w == "nil":
					line += "\r\n$-1"
				default:
					line += fmt.Sprintf("\r\n$%d\r\n%s", len(w), w)
				}
			}
		}
		b := []byte(line + "\r\n")
		for len(b) > 0 {
			k := len(b)
			if piece > 0 {
				k = min(k, piece)
			}
			for part := slices.Clone(b[:k]); len(part) > 0; {
				n, _, err := tr.Server(part)
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				tr.TakeHeld()
				part = part[n:]
			}
			b = b[k:]
		}
	}
}

// subscribed ends a conversation that makes the connection a subscriber.
var subscribed = []string{">SUBSCRIBE a", "*subscribe a :1"}

// A command whose reply is not to come may not have run either.
func TestRestorable(t *testing.T) {
	c := newLocal(t)
	c.command("SET k v")
	if c.Restorable() {
		t.Error("restorable while a reply is due")
	}
	c.recv("+OK\r\n")
	if !c.Restorable() {
		t.Error("not restorable while nothing is due")
	}
	c.Injected()
	if !c.Restorable() {
		t.Error("not restorable for an AUTH of ours")
	}
	c.recv("+OK\r\n")
	c.command("CLIENT REPLY SKIP")
	c.command("SET k w")
	if c.Restorable() {
		t.Error("restorable behind a command that has no reply")
	}
}

func TestMovable(t *testing.T) {
	tests := []struct {
		name  string
		lines []string // before it subscribes
		want  bool
	}{
		{"plain", nil, true},
		{"used", []string{">GET k", "$-1", ">LRANGE l 0 -1", "*subscribe b :9"}, true},
		{"settings", []string{">SELECT 3", "+OK", ">CLIENT SETNAME me", "+OK", ">CLIENT SETINFO lib-name x", "+OK", ">READONLY", "+OK"}, true},
		{"a command in two pieces", []string{">>*2\r\n$6\r\nSELECT\r\n$1\r\n", ">>3\r\n", "+OK"}, false},
		{"the same refused", []string{">>*2\r\n$6\r\nSELECT\r\n$1\r\n", ">>3\r\n", "-ERR out of range"}, true},
		{"a name too long to keep", []string{">CLIENT SETNAME " + strings.Repeat("n", 5000), "+OK"}, false},
		{"asks", []string{">CLIENT GETNAME", "$-1", ">CLIENT LIST", "$1\r\nx"}, true},
		{"its ID", []string{">CLIENT ID", ":7"}, false},
		{"its ID refused", []string{">CLIENT ID", "-NOPERM no"}, true},
		{"no eviction", []string{">CLIENT NO-EVICT ON", "+OK"}, false},
		{"tracking", []string{">CLIENT TRACKING ON", "+OK"}, false},
		{"tracking refused", []string{">CLIENT TRACKING ON", "-ERR no"}, true},
		{"HELLO", []string{">HELLO 2", "*server redis"}, true},
		{"HELLO with more", []string{">HELLO 2 SETNAME me", "*server redis"}, false},
		{"HELLO refused", []string{">HELLO 3", "-ERR unknown command"}, true},
		{"its own AUTH", []string{">AUTH x y", "+OK"}, false},
		{"CLIENT REPLY", []string{">CLIENT REPLY ON", "+OK"}, false},
		{"MONITOR", []string{">MONITOR", "+OK"}, false},
		{"watch", []string{">WATCH k", "+OK"}, false},
		{"watch refused", []string{">WATCH k", "-NOPERM no"}, true},
		{"watch ended", []string{">WATCH k", "+OK", ">UNWATCH", "+OK"}, true},
		{"watch, its end refused", []string{">WATCH k", "+OK", ">UNWATCH", "-NOPERM no"}, false},
		{"watch and EXEC", []string{">WATCH k", "+OK", ">MULTI", "+OK", ">EXEC", "*"}, true},
		{"watch and EXEC that fails", []string{">WATCH k", "+OK", ">MULTI", "+OK", ">EXEC", "-EXECABORT no"}, true},
		{"watch and EXEC without MULTI", []string{">WATCH k", "+OK", ">EXEC", "-ERR EXEC without MULTI"}, false},
		{"watch and DISCARD", []string{">WATCH k", "+OK", ">MULTI", "+OK", ">DISCARD", "+OK"}, true},
		{"a setting in a transaction", []string{">MULTI", "+OK", ">SELECT 1", "+QUEUED", ">EXEC", "*"}, false},
		{"RESET", []string{">WATCH k", "+OK", ">RESET", "+RESET"}, true},
		{"invalidations of others", []string{">SUBSCRIBE __redis__:invalidate", "*subscribe __redis__:invalidate :1", ">SUBSCRIBE a", "*subscribe a :2", ">PSUBSCRIBE a", "*psubscribe a :3"}, false},
		{"an ID asked for twice", []string{">CLIENT ID", ":7", ">CLIENT SETNAME x", "+OK"}, false},
	}
	for _, tt := range tests {
		for piece := range 4 {
			t.Run(fmt.Sprintf("%s, pieces of %d", tt.name, piece), func(t *testing.T) {
				tr := reauth.New()
				talkTo(t, tr, piece, slices.Concat(tt.lines, subscribed)...)
				if got := tr.Movable(); got != tt.want {
					t.Errorf("Movable: got %v, want %v (%s)", got, tt.want, tr.Deferred())
				}
				if tt.want && !tr.Settled() {
					t.Error("Settled: got false, and nothing is due")
				}
				talkTo(t, tr, piece, ">PING")
				if tr.Settled() {
					t.Error("Settled: got true, and a reply is due")
				}
			})
		}
	}
}

func TestNotMovableWithoutSubscriptions(t *testing.T) {
	tr := reauth.New()
	if tr.Movable() {
		t.Error("a new connection is movable")
	}
	talkTo(t, tr, 0, subscribed...)
	talkTo(t, tr, 0, ">UNSUBSCRIBE a", "*unsubscribe a :0")
	if tr.Movable() || tr.Deferred() != reauth.None {
		t.Error("a connection that takes AUTH is movable")
	}
}

// What is given to a new connection is what stands, oldest first.
func TestStanding(t *testing.T) {
	for piece := range 12 {
		t.Run(fmt.Sprintf("pieces of %d", piece), func(t *testing.T) {
			tr := reauth.New()
			talkTo(t, tr, piece,
				">SELECT 1", "+OK", ">SELECT 2", "+OK", ">SELECT 99", "-ERR out of range", ">CLIENT SETNAME me", "+OK", ">READONLY", "+OK", ">READWRITE", "+OK",
				">SUBSCRIBE message b c", "*subscribe message :1", "*message message subscribe", "*subscribe b :2", "*subscribe c :3",
				">PSUBSCRIBE z* a*", "*psubscribe z* :4", "*pmessage z* zz *", "*psubscribe a* :5",
				">SSUBSCRIBE s", "*ssubscribe s :1", "*smessage s x",
				">UNSUBSCRIBE b nosuch", "*unsubscribe b :4", "*unsubscribe nosuch :4", ">SUBSCRIBE b c", "*subscribe b :5", "*subscribe c :5",
			)
			if !tr.Settled() {
				t.Fatalf("not settled")
			}
			old := tr.Standing()
			var got []string
			for _, s := range old.Settings() {
				got = append(got, words(t, s))
			}
			for _, s := range old.Since(nil) {
				got = append(got, fmt.Sprint(words(t, s.Command), " ", s.Confirms, " ", s.Count))
			}
			want := []string{"SELECT 2", "CLIENT SETNAME me", "READWRITE",
				"subscribe message c b subscribe 3", "psubscribe z* a* psubscribe 2", "ssubscribe s ssubscribe 1"}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if old.Count() != 5 || !old.Patterns() {
				t.Errorf("Count %d, Patterns %v", old.Count(), old.Patterns())
			}

			// The order of patterns is that of their messages in Redis 6.0.
			talkTo(t, tr, piece, ">PUNSUBSCRIBE z*", "*punsubscribe z* :4", ">PSUBSCRIBE z*", "*psubscribe z* :5",
				">UNSUBSCRIBE c", "*unsubscribe c :4", ">SUBSCRIBE d", "*subscribe d :5", "*sunsubscribe s :0")
			now := tr.Standing()
			got = nil
			for _, s := range now.Since(old) {
				got = append(got, words(t, s.Command))
			}
			want = []string{"unsubscribe c", "subscribe d", "punsubscribe z*", "psubscribe z*", "sunsubscribe s"}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if !now.SameSettings(old) {
				t.Error("the settings have not changed")
			}
			talkTo(t, tr, piece, ">RESET", "+RESET", ">SELECT 4", "+OK", ">SUBSCRIBE d", "*subscribe d :1")
			if now := tr.Standing(); now.SameSettings(old) || now.Count() != 1 {
				t.Errorf("behind RESET: %v, %d", now.Settings(), now.Count())
			}
		})
	}
}

func words(t *testing.T, command []byte) string {
	t.Helper()
	args, err := resp.NewReader(strings.NewReader(string(command))).ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	var w []string
	for _, a := range args {
		w = append(w, string(a))
	}
	return strings.Join(w, " ")
}

// A connection with more names than are kept is not movable, until it has none.
func TestTooManyNames(t *testing.T) {
	long := strings.Repeat("n", 300<<10)
	for _, piece := range []int{0, 100_000} {
		tr := reauth.New()
		for i := range 4 {
			name := fmt.Sprint(i, long)
			talkTo(t, tr, piece, ">SUBSCRIBE "+name, fmt.Sprintf("*subscribe %s :%d", name, i+1))
			if got, want := tr.Movable(), i < 3; got != want {
				t.Errorf("behind %d names: got %v, want %v", i+1, got, want)
			}
		}
		talkTo(t, tr, piece, ">UNSUBSCRIBE", "*unsubscribe 0"+long+" :3", "*unsubscribe 1"+long+" :2", "*unsubscribe 2"+long+" :1")
		if tr.Movable() {
			t.Error("a name is missing")
		}
		talkTo(t, tr, piece, "*unsubscribe 3"+long+" :0", ">SUBSCRIBE a", "*subscribe a :1")
		if !tr.Movable() {
			t.Error("all names are known again")
		}
	}
}

func TestVeil(t *testing.T) {
	const marker = reauth.MarkerPrefix + "0123"
	const other = reauth.MarkerPrefix + "4567"
	array := func(words ...string) string { return string(resp.AppendCommand(nil, words...)) }
	confirmation := func(kind, name string, n int) string {
		return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n", len(kind), kind, len(name), name, n)
	}
	long := array("message", "a", strings.Repeat("x", 2<<20))
	type frame struct {
		bytes string
		sign  reauth.Sign
	}
	frames := []frame{
		{array("message", "a", marker), reauth.Message},
		{confirmation("subscribe", other, 2), reauth.Matched},
		{confirmation("subscribe", marker, 2), reauth.Entered},
		{confirmation("subscribe", marker, 2), reauth.Confirmed}, // nobody asked again
		{array("pong", ""), reauth.Other},
		{array("pong", marker), reauth.Ponged},
		{array("message", marker, ""), reauth.Marked},
		{array("pmessage", "*", marker, ""), reauth.Matched},
		{array("pmessage", "*", "a", marker), reauth.Message},
		{long, reauth.Message},
		{array("smessage", marker, "x"), reauth.Message},
		{confirmation("unsubscribe", "a", 1), reauth.Confirmed},
		{"-ERR refused\r\n", reauth.Refused},
		{"-ERR not ours\r\n", reauth.Failed},
		{"+OK\r\n", reauth.Other},
		{"*-1\r\n", reauth.Other},
		{array("message", other, ""), reauth.Matched},
	}
	var stream, want string
	for _, f := range frames {
		stream += f.bytes
		if f.sign < reauth.Entered {
			want += f.bytes
		}
	}
	for _, piece := range []int{1, 2, 3, 7, 30, 50, 1000, len(stream)} {
		t.Run(fmt.Sprintf("pieces of %d", piece), func(t *testing.T) {
			v := reauth.NewVeil(marker)
			for _, reply := range []reauth.Sign{reauth.Entered, reauth.Entered, reauth.Ponged, reauth.Left} {
				v.Expect(reply)
			}
			var got strings.Builder
			i := 0
			for rest := stream; len(rest) > 0; {
				part := []byte(rest[:min(piece, len(rest))])
				rest = rest[len(part):]
				for len(part) > 0 {
					n, out, sign, err := v.Next(part)
					if err != nil {
						t.Fatal(err)
					}
					got.Write(out)
					part = part[n:]
					if sign == reauth.Part {
						continue
					}
					if sign != frames[i].sign {
						t.Fatalf("frame %d, %.60q: got %d, want %d", i, frames[i].bytes, sign, frames[i].sign)
					}
					if over := i >= 12; v.Over() != over {
						t.Fatalf("frame %d: Over is %v", i, v.Over())
					}
					i++
				}
			}
			if i != len(frames) || got.String() != want {
				t.Errorf("%d of %d frames, %d of %d bytes", i, len(frames), got.Len(), len(want))
			}
			if v.Doubt(); v.Over() {
				t.Error("over in doubt")
			}
		})
	}
	v := reauth.NewVeil(marker)
	_, out, _, _ := v.Next([]byte("*3\r\n$7\r\nmess"))
	if flushed := string(out) + string(v.Flush()); flushed != "*3\r\n$7\r\nmess" {
		t.Errorf("got %q back", flushed)
	}
	if _, out, _, err := reauth.NewVeil(marker).Next([]byte("HTTP")); err == nil || !strings.HasPrefix("HTTP", string(out)) {
		t.Errorf("got %q, %v, want an error", out, err)
	}
}
