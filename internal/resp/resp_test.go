package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/entraredis/entraredis/internal/resp"
)

// frames are single frames of every type, with what the scanner must say of
// each: its type, first element and last integer.
var frames = []struct {
	raw     string
	typ     byte
	first   string
	lastInt int64
}{
	{"+OK\r\n", '+', "", 0},
	{"+\r\n", '+', "", 0},
	{"-ERR no\r\n", '-', "", 0},
	{":0\r\n", ':', "", 0},
	{":-42\r\n", ':', "", -42},
	{":+7\r\n", ':', "", 7},
	{":9223372036854775807\r\n", ':', "", 922337203685477580},
	{"$-1\r\n", '$', "", 0},
	{"$0\r\n\r\n", '$', "", 0},
	{"$5\r\n\r\n+OK\r\n", '$', "", 0},
	{"*-1\r\n", '*', "", 0},
	{"*0\r\n", '*', "", 0},
	{"*2\r\n$3\r\nfoo\r\n:1\r\n", '*', "foo", 1},
	{"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n$-1\r\n", '*', "", 1},
	{"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:12\r\n", '*', "subscribe", 12},
	{">3\r\n+message\r\n$1\r\na\r\n$2\r\nhi\r\n", '>', "message", 0},
	{"_\r\n", '_', "", 0},
	{"#t\r\n", '#', "", 0},
	{",1.5e3\r\n", ',', "", 0},
	{"(3492890328409238509324850943850943825024385\r\n", '(', "", 0},
	{"!5\r\nERR x\r\n", '!', "", 0},
	{"=7\r\ntxt:abc\r\n", '=', "", 0},
	{"~2\r\n+a\r\n+b\r\n", '~', "a", 0},
	{"%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n_\r\n", '%', "a", 1},
	{"|1\r\n+ttl\r\n:3600\r\n*2\r\n+v\r\n:2\r\n", '*', "v", 2},
	{"|1\r\n+a\r\n*2\r\n:1\r\n:2\r\n+OK\r\n", '+', "", 0},
	{"*2\r\n|1\r\n+x\r\n+y\r\n:1\r\n:2\r\n", '*', "x", 2},
	{"$?\r\n;4\r\nabcd\r\n;2\r\nef\r\n;0\r\n", '$', "", 0},
	{"*?\r\n:1\r\n*?\r\n:2\r\n.\r\n:3\r\n.\r\n", '*', "", 3},
	{"%?\r\n+a\r\n:1\r\n.\r\n", '%', "a", 1},
}

func TestRepliesEveryChunking(t *testing.T) {
	for _, f := range frames {
		for cut := range len(f.raw) {
			var s resp.Replies
			n, done, err := s.Next([]byte(f.raw[:cut]))
			if err != nil || done || n != cut {
				t.Fatalf("%q cut at %d: got n=%d done=%v err=%v, want all, open", f.raw, cut, n, done, err)
			}
			if cut > 0 && s.AtBoundary() {
				t.Fatalf("%q cut at %d: at a boundary", f.raw, cut)
			}
			n, done, err = s.Next([]byte(f.raw[cut:] + "+next\r\n"))
			if err != nil || !done || n != len(f.raw)-cut {
				t.Fatalf("%q cut at %d, rest: got n=%d done=%v err=%v", f.raw, cut, n, done, err)
			}
			if s.Type() != f.typ || string(s.First()) != f.first {
				t.Fatalf("%q cut at %d: got type %q first %q, want %q %q", f.raw, cut, s.Type(), s.First(), f.typ, f.first)
			}
			if f.lastInt < 1e17 && s.LastInt() != f.lastInt {
				t.Fatalf("%q: got last integer %d, want %d", f.raw, s.LastInt(), f.lastInt)
			}
		}
	}
}

func TestRepliesLine(t *testing.T) {
	var s resp.Replies
	long := strings.Repeat("x", 500)
	for _, tt := range []struct{ raw, want string }{
		{"-WRONGPASS invalid\r\n", "WRONGPASS invalid"},
		{"|1\r\n+a\r\n+b\r\n+OK\r\n", "OK"},
		{"-" + long + "\r\n", long[:128]},
	} {
		if _, done, err := s.Next([]byte(tt.raw)); !done || err != nil {
			t.Fatalf("%.20q: done=%v err=%v", tt.raw, done, err)
		}
		if got := string(s.Line()); got != tt.want {
			t.Errorf("%.20q: got line %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestRepliesRefused(t *testing.T) {
	for _, raw := range []string{
		"x\r\n", "\r\n", "$a\r\n", "$-2\r\n", "*-2\r\n", "$3\r\nabcd\r\n", "$3\r\nabc\rx", "+OK\rx", "*99999999999\r\n",
		";1\r\na\r\n", ".\r\n", "$?\r\n+a\r\n", "!-1\r\n", "$01\r\n", "*1\n",
		strings.Repeat("*?\r\n", 9), "$999999999999999999999\r\n", "%-1\r\n", "#?\r\n:?\r\n",
	} {
		var s resp.Replies
		b, err := []byte(raw), error(nil)
		for len(b) > 0 && err == nil {
			var n int
			n, _, err = s.Next(b)
			b = b[n:]
		}
		var pe *resp.ProtocolError
		if !errors.As(err, &pe) {
			t.Errorf("%q: got %v, want a protocol error", raw, err)
		}
	}
}

var commands = []struct {
	raw  string
	args []string
}{
	{"*1\r\n$4\r\nPING\r\n", []string{"PING"}},
	{"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$0\r\n\r\n", []string{"set", "k", ""}},
	{"*0\r\n*1\r\n$4\r\nPING\r\n", []string{"PING"}},
	{"*-1\r\n\r\n \r\n*2\r\n$3\r\nGET\r\n$4\r\n\r\n*1\r\n", []string{"GET", "\r\n*1"}},
	{"PING\r\n", []string{"PING"}},
	{"  set  a   'b c'\n", []string{"set", "a", "b c"}},
	{`SET k "a\x41\n\"q"` + "\r\n", []string{"SET", "k", "aA\n\"q"}},
	{`SET k 'it\'s'` + "\r\n", []string{"SET", "k", "it's"}},
	{"\r\n\r\nECHO hi\r\n", []string{"ECHO", "hi"}},
}

func TestRequestsEveryChunking(t *testing.T) {
	for _, c := range commands {
		for cut := range len(c.raw) + 1 {
			s := resp.Requests{Keep: func([]byte) int { return 100 }}
			got := 0
			for _, part := range []string{c.raw[:cut], c.raw[cut:]} {
				b := []byte(part)
				for len(b) > 0 {
					n, done, err := s.Next(b)
					if err != nil {
						t.Fatalf("%q cut at %d: %v", c.raw, cut, err)
					}
					if done && s.Args() > 0 {
						got++
					}
					b = b[n:]
				}
			}
			if got != 1 || !s.AtBoundary() || s.Args() != len(c.args) {
				t.Fatalf("%q cut at %d: got %d commands of %d args, want one of %d", c.raw, cut, got, s.Args(), len(c.args))
			}
			for i, want := range c.args {
				if i == 0 {
					want = strings.ToUpper(want)
				}
				if string(s.Arg(i)) != want {
					t.Fatalf("%q cut at %d: got arg %d = %q, want %q", c.raw, cut, i, s.Arg(i), want)
				}
			}
		}
	}
}

func TestRequestsKeepsNoMoreThanAsked(t *testing.T) {
	s := resp.Requests{Keep: func(name []byte) int {
		if string(name) == "CLIENT" {
			return 2
		}
		return 0
	}}
	long := strings.Repeat("v", 1000)
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"SET", "k", "v"}, []string{"SET", "", ""}},
		{[]string{"client", "reply", long, "x"}, []string{"CLIENT", "reply", long[:32], ""}},
		{[]string{long, "k"}, []string{strings.ToUpper(long[:32]), ""}},
	} {
		if _, done, err := s.Next(resp.AppendCommand(nil, tt.args...)); !done || err != nil {
			t.Fatalf("%.20v: done=%v err=%v", tt.args, done, err)
		}
		for i, want := range tt.want {
			if got := string(s.Arg(i)); got != want {
				t.Errorf("%.20v: got arg %d = %q, want %q", tt.args, i, got, want)
			}
		}
	}
}

func TestRequestsRun(t *testing.T) {
	set := func(key, value string) string { return string(resp.AppendCommand(nil, "SET", key, value)) }
	keepOne := func([]byte) int { return 1 }
	for _, tt := range []struct {
		name, last, b string
		keep          func([]byte) int
		largest       int64
		want          int // commands
	}{
		{"alike", set("k", "v"), set("key", "value") + set("", "") + set("k", strings.Repeat("v", 1000)), nil, 2000, 3},
		{"then another name", set("k", "v"), set("k", "v") + "*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$1\r\nk\r\n", nil, 2000, 1},
		{"then more arguments", set("k", "v"), set("k", "v") + "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nNX\r\n", nil, 2000, 1},
		{"then a longer name", set("k", "v"), set("k", "v") + "*3\r\n$5\r\nSETNX\r\n$1\r\nk\r\n$1\r\nv\r\n", nil, 2000, 1},
		{"then one that is not complete", set("k", "v"), set("k", "v") + set("k", "v")[:20], nil, 2000, 1},
		{"then one that is malformed", set("k", "v"), set("k", "v") + "*3\r\n$3\r\nSET\r\n:1\r\n$1\r\nv\r\n", nil, 2000, 1},
		{"then one that is too large", set("k", "v"), set("k", "v") + set("k", "vv"), nil, int64(len(set("k", "v"))), 1},
		{"no arguments", "*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPONG\r\n", nil, 2000, 1},
		{"long name", string(resp.AppendCommand(nil, strings.Repeat("N", 40))), string(resp.AppendCommand(nil, strings.Repeat("N", 40))), nil, 2000, 1},
		{"name in lower case", set("k", "v"), strings.ToLower(set("k", "v")), nil, 2000, 0},
		{"something kept", set("k", "v"), set("k", "v"), keepOne, 2000, 0},
		{"inline", "PING hello\r\n", "PING hello\r\n", nil, 2000, 0},
		{"nothing", set("k", "v"), "", nil, 2000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := resp.Requests{Keep: tt.keep}
			if n, done, err := s.Next([]byte(tt.last)); n != len(tt.last) || !done || err != nil {
				t.Fatalf("last: %d, %v, %v", n, done, err)
			}
			name, args := string(s.Name()), s.Args()
			n, commands := s.Run([]byte(tt.last), []byte(tt.b), tt.largest)
			if commands != tt.want || !s.AtBoundary() || string(s.Name()) != name || s.Args() != args || s.Ahead() != 0 {
				t.Fatalf("got %d commands, at %s with %d arguments, %d bytes ahead; want %d, and nothing else changed", commands, s.Name(), s.Args(), s.Ahead(), tt.want)
			}
			// What Next makes of it must be the same.
			one := resp.Requests{Keep: tt.keep}
			ends, _ := scanAll(one.Next, []byte(tt.b), nil)
			if commands > 0 && ends[commands-1] != n || commands == 0 && n != 0 {
				t.Errorf("%d commands have %d bytes; they end at %v", commands, n, ends)
			}
		})
	}
}

func TestRequestsRefusesWhatRedisRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"*a\r\n":                          "invalid multibulk length",
		"*+1\r\n":                         "invalid multibulk length",
		"*01\r\n":                         "invalid multibulk length",
		"*\r\n$1\r\na\r\n":                "invalid multibulk length",
		"*9999999999\r\n":                 "invalid multibulk length",
		"*1\r\nPING\r\n":                  "expected '$', got 'P'",
		"*1\r\n$x\r\n":                    "invalid bulk length",
		"*1\r\n$-1\r\n":                   "invalid bulk length",
		"SET k \"a\r\n":                   "unbalanced quotes",
		"SET k \"a\"b\r\n":                "unbalanced quotes",
		strings.Repeat("a", 70000):        "too big inline",
		strings.Repeat("a", 70000) + "\n": "too big inline",
		"a\x00b\n":                        "too big inline",
	} {
		var s resp.Requests
		_, _, err := s.Next([]byte(raw))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %q", raw, err, want)
		}
		_, err = resp.NewReader(strings.NewReader(raw)).ReadCommand()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reader of %.30q: got %v, want %q", raw, err, want)
		}
	}
}

func TestReaderCommands(t *testing.T) {
	var all strings.Builder
	for _, c := range commands {
		all.WriteString(c.raw)
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
	} {
		r := resp.NewReader(wrap(strings.NewReader(all.String())))
		for _, c := range commands {
			args, err := r.ReadCommand()
			if err != nil {
				t.Fatalf("%s: %q: %v", name, c.raw, err)
			}
			if got, want := fmt.Sprintf("%q", args), fmt.Sprintf("%q", c.args); got != want {
				t.Errorf("%s: %q: got %s, want %s", name, c.raw, got, want)
			}
		}
		if _, err := r.ReadCommand(); err != io.EOF {
			t.Errorf("%s: at the end: got %v, want EOF", name, err)
		}
	}
}

func TestReaderFrames(t *testing.T) {
	var all strings.Builder
	for _, f := range frames {
		all.WriteString(f.raw)
	}
	r := resp.NewReader(iotest.HalfReader(strings.NewReader(all.String())))
	for _, f := range frames {
		got, err := r.ReadFrame()
		if err != nil || string(got) != f.raw {
			t.Fatalf("got %q, %v, want %q", got, err, f.raw)
		}
	}
	if r.Buffered() != 0 {
		t.Errorf("got %d bytes left over", r.Buffered())
	}
}

func TestReaderBounds(t *testing.T) {
	r := resp.NewReader(strings.NewReader("*1\r\n$100\r\n" + strings.Repeat("a", 100) + "\r\n"))
	r.Limit = 50
	if _, err := r.ReadCommand(); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("got %v, want the limit named", err)
	}
	r = resp.NewReader(strings.NewReader("*1\r\n$4\r\nPI"))
	if _, err := r.ReadCommand(); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v, want unexpected EOF", err)
	}
	r = resp.NewReader(io.MultiReader(strings.NewReader("+OK\r\n"), iotest.ErrReader(io.ErrClosedPipe)))
	if f, err := r.ReadFrame(); err != nil || string(f) != "+OK\r\n" {
		t.Errorf("got %q, %v before the error", f, err)
	}
	if _, err := r.ReadFrame(); err != io.ErrClosedPipe {
		t.Errorf("got %v, want the source's error", err)
	}
}

func TestAppendCommand(t *testing.T) {
	want := "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
	if got := resp.AppendCommand(nil, "GET", ""); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := resp.AppendCommandBytes([]byte("x"), []byte("GET"), nil); string(got) != "x"+want {
		t.Errorf("got %q, want %q", got, "x"+want)
	}
}

func TestScannersDoNotAllocate(t *testing.T) {
	cmd := resp.AppendCommand(nil, "SET", "key", "value")
	reply := []byte("*3\r\n$3\r\nfoo\r\n:1\r\n*1\r\n$3\r\nbar\r\n")
	var q resp.Requests
	var p resp.Replies
	if n := testing.AllocsPerRun(100, func() { q.Next(cmd); p.Next(reply) }); n != 0 {
		t.Errorf("got %v allocations per command and reply, want 0", n)
	}
}

func BenchmarkRequests(b *testing.B) {
	for _, size := range []int{3, 1024, 16 << 10} {
		cmd := resp.AppendCommand(nil, "SET", "key:000000001", strings.Repeat("v", size))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(cmd)))
			b.ReportAllocs()
			var s resp.Requests
			for b.Loop() {
				s.Next(cmd)
			}
		})
	}
}

func BenchmarkReplies(b *testing.B) {
	for name, raw := range map[string]string{
		"status": "+OK\r\n", "bulk3": "$3\r\nxxx\r\n", "bulk16k": "$16384\r\n" + strings.Repeat("x", 16384) + "\r\n",
		"array": "*3\r\n$3\r\nfoo\r\n:1\r\n*1\r\n$3\r\nbar\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			var s resp.Replies
			p := []byte(raw)
			for b.Loop() {
				s.Next(p)
			}
		})
	}
}

// scanAll runs a scanner over b cut into chunks of the given sizes, over and
// over, and lists where frames end.
func scanAll(next func([]byte) (int, bool, error), b []byte, chunks []byte) (ends []int, err error) {
	at, c := 0, 0
	for at < len(b) {
		size := len(b) - at
		if len(chunks) > 0 {
			size = min(size, int(chunks[c%len(chunks)])+1)
			c++
		}
		for part := b[at : at+size]; len(part) > 0; {
			n, done, err := next(part)
			if n < 0 || n > len(part) || !done && err == nil && n != len(part) {
				return ends, fmt.Errorf("consumed %d of %d without an end", n, len(part))
			}
			part = part[n:]
			at += n
			if done {
				ends = append(ends, at)
			}
			if err != nil {
				return ends, err
			}
		}
	}
	return ends, nil
}

func sameScan(t *testing.T, b []byte, chunks []byte, one, other func([]byte) (int, bool, error)) {
	t.Helper()
	wantEnds, wantErr := scanAll(one, b, nil)
	gotEnds, gotErr := scanAll(other, b, chunks)
	if fmt.Sprint(wantEnds, wantErr) != fmt.Sprint(gotEnds, gotErr) {
		t.Fatalf("%q in chunks %v: got %v, %v; in one piece %v, %v", b, chunks, gotEnds, gotErr, wantEnds, wantErr)
	}
}

func FuzzReplies(f *testing.F) {
	for _, fr := range frames {
		f.Add([]byte(fr.raw+"+OK\r\n"), []byte{0, 2})
	}
	f.Fuzz(func(t *testing.T, b, chunks []byte) {
		var one, other resp.Replies
		sameScan(t, b, chunks, one.Next, other.Next)
		if one.Type() != other.Type() || !bytes.Equal(one.Line(), other.Line()) || !bytes.Equal(one.First(), other.First()) || one.LastInt() != other.LastInt() {
			t.Fatalf("%q in chunks %v: not the same frame", b, chunks)
		}
		naive(t, b)
		frames, run, err := 0, resp.Replies{}, error(nil)
		for at := 0; at < len(b) && err == nil; {
			n, k, done := 0, 0, false
			if run.AtBoundary() {
				n, k = run.Run(b[at:], 3, 50)
			}
			if k == 0 {
				if n, done, err = run.Next(b[at:]); done {
					k = 1
				}
			}
			at, frames = at+n, frames+k
		}
		ends, wantErr := scanAll((&resp.Replies{}).Next, b, nil)
		if frames != len(ends) || fmt.Sprint(err) != fmt.Sprint(wantErr) || run.AtBoundary() != one.AtBoundary() || run.Type() != one.Type() || !bytes.Equal(run.Line(), one.Line()) || !bytes.Equal(run.First(), one.First()) || run.LastInt() != one.LastInt() {
			t.Fatalf("%q: in runs %d frames and %v, want %d and %v, or not the same frame", b, frames, err, len(ends), wantErr)
		}
	})
}

// FuzzRequestsRun holds Run against Next: the same commands, ending at the same
// places.
func FuzzRequestsRun(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c.raw + c.raw + c.raw))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, s resp.Requests
		type command struct {
			name string
			args int
		}
		var want []command
		ends, err := scanAll(func(b []byte) (int, bool, error) {
			n, done, err := one.Next(b)
			if done {
				want = append(want, command{string(one.Name()), one.Args()})
			}
			return n, done, err
		}, b, nil)
		for at, i := 0, 0; at < len(b); {
			n, done, gotErr := s.Next(b[at:])
			last := b[at : at+n]
			if at += n; !done {
				if i != len(ends) || fmt.Sprint(gotErr) != fmt.Sprint(err) {
					t.Fatalf("%q: stopped behind %d commands with %v; want %d and %v", b, i, gotErr, len(ends), err)
				}
				return
			}
			more, commands := s.Run(last, b[at:], 50)
			at += more
			for range 1 + commands {
				if got := (command{string(s.Name()), s.Args()}); i >= len(want) || got != want[i] {
					t.Fatalf("%q: command %d is %v, want one of %v", b, i, got, want)
				}
				i++
			}
			if at != ends[i-1] {
				t.Fatalf("%q: %d commands end at %d, want %v", b, i, at, ends)
			}
		}
	})
}

func FuzzRequests(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c.raw+"PING\r\n"), []byte{0, 2})
	}
	f.Fuzz(func(t *testing.T, b, chunks []byte) {
		keep := func([]byte) int { return 3 }
		one, other := resp.Requests{Keep: keep}, resp.Requests{Keep: keep}
		sameScan(t, b, chunks, one.Next, other.Next)
		// The reader must find the same commands, with the same arguments.
		var s resp.Requests
		s.Keep = keep
		r := resp.NewReader(bytes.NewReader(b))
		for {
			n, done, err := s.Next(b)
			b = b[n:]
			for done && s.Args() == 0 {
				n, done, err = s.Next(b)
				b = b[n:]
			}
			args, rerr := r.ReadCommand()
			if (err == nil && done) != (rerr == nil) {
				t.Fatalf("scanner: done=%v %v; reader: %v", done, err, rerr)
			}
			if rerr != nil {
				return
			}
			if len(args) != s.Args() {
				t.Fatalf("scanner saw %d arguments, reader %q", s.Args(), args)
			}
			for i := 1; i < len(args) && i <= 3; i++ {
				if want := args[i][:min(len(args[i]), 32)]; !bytes.Equal(s.Arg(i), want) {
					t.Fatalf("arg %d: scanner %q, reader %q", i, s.Arg(i), want)
				}
			}
		}
	})
}
