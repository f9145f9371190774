package entraredis_test

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/resp"
)

// nearlyALife is when a token that was new has a successor, and a re-AUTH is due.
const nearlyALife = tokenLife * 95 / 100

// sizes is the upstream of these tests: it answers SET and GET of a value that
// is nowhere in memory, ECHO and AUTH. Its pauses have time pass in the middle
// of something.
type sizes struct {
	value    int64        // length of the value
	commands int          // received, AUTH apart
	auths    []int        // behind how many commands each AUTH came
	pauses   map[int]bool // behind how many commands time passes
	received uint32       // checksum of the value that was set
}

// dialSizes returns a connection of a Dialer to s, and what s ended with.
func dialSizes(t *testing.T, s *sizes) (c net.Conn, d *entraredis.Dialer, ended <-chan error) {
	t.Helper()
	source, err := entraredis.New(&scripted{life: tokenLife}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	end := make(chan error, 1)
	go func() { end <- s.serve(theirs) }()
	d = &entraredis.Dialer{Source: source, Plaintext: true, NetDial: func(context.Context, string, string) (net.Conn, error) {
		return ours, nil
	}}
	c, err = d.DialContext(t.Context(), "tcp", "cache:6380")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		source.Close()
	})
	return c, d, end
}

// serve reads commands and has another goroutine answer them, since a server's
// socket takes an AUTH also while the server is busy.
func (s *sizes) serve(c net.Conn) error {
	defer c.Close()
	answers := make(chan func(io.Writer) error, 1<<18)
	written := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(c, 64<<10)
		var err error
		for answer := range answers {
			if err == nil {
				err = answer(w)
			}
			if err == nil && len(answers) == 0 {
				err = w.Flush()
			}
		}
		written <- err
	}()
	err := s.read(bufio.NewReaderSize(c, 64<<10), answers)
	close(answers)
	if err == io.EOF {
		err = <-written
	}
	return err
}

func (s *sizes) read(r *bufio.Reader, answers chan<- func(io.Writer) error) error {
	for {
		n, err := header(r, '*')
		if err != nil {
			return err
		}
		args := make([]string, n)
		for i := range args {
			if args[i], err = s.argument(r); err != nil {
				return fmt.Errorf("argument %d: %w", i, err)
			}
		}
		if args[0] == "AUTH" {
			s.auths = append(s.auths, s.commands)
			answers <- text("+OK\r\n")
			continue
		}
		s.commands++
		if s.pauses[s.commands] {
			pass(nearlyALife)
		}
		switch args[0] {
		case "ECHO":
			answers <- text(bulk(args[1]))
		case "SET":
			answers <- text("+OK\r\n")
		case "GET":
			answers <- s.produce
		default:
			return fmt.Errorf("unexpected command %q", args)
		}
	}
}

func header(r *bufio.Reader, kind byte) (int64, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("got %q, want a line that begins with %q", line, kind)
	}
	return strconv.ParseInt(strings.TrimSuffix(line[1:], "\r\n"), 10, 64)
}

// argument reads one; of the value only its checksum is kept.
func (s *sizes) argument(r *bufio.Reader) (string, error) {
	n, err := header(r, '$')
	if err != nil {
		return "", err
	}
	if n != s.value {
		b := make([]byte, n+2)
		_, err = io.ReadFull(r, b)
		return string(b[:n]), err
	}
	sum := crc32.NewIEEE()
	if _, err := io.CopyN(sum, r, n/2); err != nil {
		return "", err
	}
	pass(nearlyALife)
	if _, err := io.CopyN(sum, r, n-n/2); err != nil {
		return "", err
	}
	s.received = sum.Sum32()
	_, err = r.Discard(len("\r\n"))
	return "", err
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// produce writes the value.
func (s *sizes) produce(w io.Writer) error {
	fmt.Fprintf(w, "$%d\r\n", s.value)
	p := pattern()
	for at := int64(0); at < s.value; at += int64(len(p)) {
		if at == s.value/2 {
			pass(nearlyALife)
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return text("\r\n")(w)
}

// pattern is what a value consists of, over and over. It looks like replies.
func pattern() []byte {
	return []byte(strings.Repeat("+OK\r\n-ERR no\r\n*", 1<<16/16)[:1<<16/16*15] + strings.Repeat("$", 1<<16/16))
}

func TestHugePipelineInOneWrite(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 100,000 commands")
	}
	const (
		commands = 100_000
		half     = len("*2\r\n$4\r\nECHO\r\n$1")
	)
	synctest.Test(t, func(t *testing.T) {
		s := &sizes{value: -1, pauses: map[int]bool{commands / 2: true}}
		c, d, ended := dialSizes(t, s)
		var b []byte
		for i := range commands {
			b = resp.AppendCommand(b, "ECHO", strconv.Itoa(i))
		}
		// A re-AUTH that is due already when the long Write begins, since half a
		// command is out: its place is the first boundary, and no other.
		if _, err := c.Write(b[:half]); err != nil {
			t.Fatal(err)
		}
		pass(nearlyALife)
		wrote := make(chan error, 1)
		go func() {
			_, err := c.Write(b[half:])
			wrote <- err
		}()
		r := resp.NewReader(c)
		for i := range commands {
			if f, err := r.ReadFrame(); err != nil || string(f) != bulk(strconv.Itoa(i)) {
				t.Fatalf("reply %d: got %q, %v", i, f, err)
			}
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the last AUTH may still be on its way
		c.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if s.commands != commands {
			t.Errorf("%d commands arrived, want %d", s.commands, commands)
		}
		if len(s.auths) < 3 || s.auths[1] != 1 || s.auths[2] < commands/2 {
			t.Errorf("AUTHs behind %v commands, want one behind the first and one behind the half", s.auths)
		}
		if st := d.Stats(); st.Reauths < 2 {
			t.Errorf("got %+v, want both re-AUTHs answered", st)
		}
	})
}

func TestHugeValueTakesNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a gigabyte")
	}
	const (
		value = 512 << 20 // Redis's proto-max-bulk-len
		most  = 8 << 20
	)
	synctest.Test(t, func(t *testing.T) {
		s := &sizes{value: value}
		c, d, ended := dialSizes(t, s)
		p := pattern()
		if value%(2*len(p)) != 0 {
			t.Fatalf("the value is no multiple of %d", 2*len(p))
		}
		sum := crc32.NewIEEE()
		for range value / len(p) {
			sum.Write(p)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)

		head := append([]byte("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n"), fmt.Sprintf("$%d\r\n", value)...)
		if _, err := c.Write(head); err != nil {
			t.Fatal(err)
		}
		for range value / len(p) {
			if _, err := c.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Write([]byte("\r\n")); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReaderSize(c, len(p))
		if line, err := r.ReadString('\n'); err != nil || line != "+OK\r\n" {
			t.Fatalf("SET: got %q, %v", line, err)
		}
		synctest.Wait()
		if got := d.Stats().Reauths; s.received != sum.Sum32() || got != 1 {
			t.Errorf("checksum %08x, want %08x; %d re-AUTHs, want the one that fell due in the value", s.received, sum.Sum32(), got)
		}

		if _, err := c.Write(resp.AppendCommand(nil, "GET", "key")); err != nil {
			t.Fatal(err)
		}
		if n, err := header(r, '$'); err != nil || n != value {
			t.Fatalf("GET: %d, %v", n, err)
		}
		got := crc32.NewIEEE()
		if _, err := io.CopyN(got, r, value); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("behind the value: got %q, %v", line, err)
		}
		synctest.Wait()
		if n := d.Stats().Reauths; got.Sum32() != sum.Sum32() || n < 2 {
			t.Errorf("checksum %08x, want %08x; %d re-AUTHs, want another one", got.Sum32(), sum.Sum32(), n)
		}

		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
			t.Errorf("%d bytes allocated for two times %d, want at most %d", grown, value, most)
		} else {
			t.Logf("%d bytes allocated", grown)
		}
		c.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}
