package reauth

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// follower is one side of a comparison: what a client and a server have seen.
type follower struct {
	*Tracker
	plain bool // commands are vouched for
	up    bytes.Buffer
	down  bytes.Buffer
}

func (f *follower) sends(commands []byte, n int, want bool) {
	if f.plain && !want && f.Plain(n) {
		f.up.Write(commands)
		return
	}
	if want && f.Deferred() == None {
		f.up.WriteString("(auth)")
		f.Injected()
		want = false
	}
	for {
		s := f.Client(commands, want)
		f.up.Write(commands[:s.Send])
		commands = commands[s.Send:]
		if s.Auth {
			f.up.WriteString("(auth)")
			f.Injected()
			want = false
		}
		if len(commands) == 0 && !s.Auth {
			return
		}
	}
}

func (f *follower) receives(b []byte) error {
	b = bytes.Clone(b)
	for len(b) > 0 {
		n, v, err := f.Server(b)
		f.down.Write(f.TakeHeld())
		if v == Pass {
			f.down.Write(b[:n])
		}
		if b = b[n:]; err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) state() string {
	s := fmt.Sprint(f.Deferred(), f.Commands(), f.ClientWaits(), f.Ready(), f.Due(), f.Withholds(), f.Restorable(), f.queue.len)
	for a, ok := f.TakeAnswer(); ok; a, ok = f.TakeAnswer() {
		s += fmt.Sprint(a)
	}
	return s + f.up.String() + f.down.String()
}

// Commands that are vouched for are followed as those that are read.
func TestPlainIsClient(t *testing.T) {
	replies := []string{"+OK\r\n", "$-1\r\n", "$5\r\nhe\r\no\r\n", ":-3\r\n", ":12\r\n", "-ERR no\r\n", "*2\r\n$1\r\na\r\n*0\r\n", "_\r\n", "%1\r\n+a\r\n:1\r\n",
		"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", "$0\r\n\r\n", "+\r\n", "!3\r\nERR\r\n", ",1.5\r\n", "=5\r\ntxt:a\r\n"}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := &follower{Tracker: New()}, &follower{Tracker: New(), plain: true}
		due := "" // kinds of what is to be answered
		for range 60 {
			if r.IntN(2) == 0 {
				n := 1 + r.IntN(4)
				want := r.IntN(5) == 0
				c := bytes.Repeat([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), n)
				from := a.up.Len()
				a.sends(c, n, want)
				b.sends(c, n, want)
				for rest := a.up.Bytes()[from:]; len(rest) > 0; {
					if bytes.HasPrefix(rest, []byte("(auth)")) {
						due, rest = due+"a", rest[6:]
					} else {
						due, rest = due+"c", rest[len(c)/n:]
					}
				}
			} else if due != "" {
				k := 1 + r.IntN(len(due))
				var out []byte
				for _, d := range due[:k] {
					if r.IntN(6) == 0 {
						out = append(out, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"...)
					}
					switch {
					case d == 'c':
						out = append(out, replies[r.IntN(len(replies))]...)
					case r.IntN(4) == 0:
						out = append(out, "-WRONGPASS no\r\n"...)
					default:
						out = append(out, "+OK\r\n"...)
					}
				}
				due = due[k:]
				for len(out) > 0 {
					m := 1 + r.IntN(len(out))
					errA, errB := a.receives(out[:m]), b.receives(out[:m])
					if errA != nil || errB != nil {
						t.Fatalf("seed %d: %v, %v at %q", seed, errA, errB, out)
					}
					out = out[m:]
				}
			}
			if x, y := a.state(), b.state(); x != y {
				t.Fatalf("seed %d:\n%q\n%q", seed, x, y)
			}
		}
		if bytes.Contains(a.down.Bytes(), []byte("WRONGPASS")) {
			t.Fatalf("seed %d: %q", seed, a.down.Bytes())
		}
	}
}

// An AUTH goes to the first place where it may, also among commands that are alike.
func TestAuthAmongAlike(t *testing.T) {
	get := []byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
	tr := New()
	if s := tr.Client(bytes.Repeat(get, 3), true); s.Send != len(get) || !s.Auth || tr.Commands() != 1 {
		t.Errorf("got %+v behind %d commands, want an AUTH behind the first", s, tr.Commands())
	}
}
