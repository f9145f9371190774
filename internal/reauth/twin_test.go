package reauth_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

var (
	conversations = flag.Int("conversations", 300, "random conversations of TestTransparent")
	seed          = flag.Uint64("seed", 0, "seed of the first conversation of TestTransparent; 0 is random")
)

// TestTransparent holds random conversations with a real Redis, once through
// a Tracker with re-AUTHs at random instants and once without, and compares
// what the client sees, byte for byte.
//
// ENTRAREDIS_REDIS_SERVER names the redis-server to start.
func TestTransparent(t *testing.T) {
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set: it names the redis-server to test against")
	}
	one, other := startRedis(t, bin), startRedis(t, bin)
	if *seed == 0 {
		*seed = rand.Uint64() | 1
	}
	injected := 0
	for i := range uint64(*conversations) {
		words, chunks := conversation(rand.New(rand.NewPCG(*seed+i, 1)))
		n, err := compare(one, other, words, chunks, *seed+i)
		if err != nil {
			words = shrink(words, func(w [][]string) bool {
				_, err := compare(one, other, w, chunks, *seed+i)
				return err != nil
			})
			_, err := compare(one, other, words, chunks, *seed+i)
			t.Fatalf("seed %d: %v\nshrunk to:\n%s", *seed+i, err, transcript(words))
		}
		injected += n
	}
	t.Logf("%d conversations from seed %d, %d re-AUTHs injected", *conversations, *seed, injected)
	if injected < *conversations/2 {
		t.Errorf("got only %d re-AUTHs: this proves nothing", injected)
	}
}

func startRedis(t *testing.T, bin string) string {
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	if len(sock) > 100 {
		sock = filepath.Join(os.TempDir(), fmt.Sprintf("entraredis-%d-%d", os.Getpid(), rand.Uint32()))
		t.Cleanup(func() { os.Remove(sock) })
	}
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", dir,
		"--user", "entra", "on", ">secret", "+@all", "~*", "&*")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", bin, err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 1000 {
		if c, err := net.Dial("unix", sock); err == nil {
			c.Close()
			return sock
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("%s does not listen", bin)
	return ""
}

// conversation makes up what a client sends, and into what pieces bytes fall.
func conversation(r *rand.Rand) (words [][]string, chunks []int) {
	key := func() string { return fmt.Sprint("k", r.IntN(4)) }
	grammar := []struct {
		weight int
		make   func() []string
	}{
		{20, func() []string { return []string{"GET", key()} }},
		{20, func() []string { return []string{"SET", key(), strings.Repeat("v\r\n", r.IntN(50))} }},
		{8, func() []string { return []string{"RPUSH", "list", "message", "a", "+OK"} }},
		{8, func() []string { return []string{"LRANGE", "list", "0", "6"} }},
		{5, func() []string { return []string{"INCR", key()} }}, // often an error
		{5, func() []string { return []string{"PING"} }},
		{3, func() []string { return []string{"ECHO", "OK"} }},
		{3, func() []string { return []string{"NOSUCHCOMMAND", "x"} }},
		{12, func() []string { return []string{"MULTI"} }},
		{14, func() []string { return []string{"EXEC"} }},
		{4, func() []string { return []string{"DISCARD"} }},
		{3, func() []string { return []string{"WATCH", key()} }},
		{2, func() []string { return []string{"MULTI", "x"} }},
		{2, func() []string { return []string{"EXEC", "x"} }},
		{2, func() []string { return []string{"DISCARD", "x"} }},
		{4, func() []string { return []string{"HELLO", fmt.Sprint(r.IntN(3) + 2)} }},
		{5, func() []string { return []string{"HELLO", "3"} }},
		{4, func() []string { return []string{"SUBSCRIBE", "c1", "c1"} }}, // one: Redis ends several in an order of its own
		{2, func() []string { return []string{"SUBSCRIBE"} }},
		{3, func() []string { return []string{"PSUBSCRIBE", "c*"} }},
		{2, func() []string { return []string{"SSUBSCRIBE", "s1"} }},
		{4, func() []string { return []string{"UNSUBSCRIBE"} }},
		{2, func() []string { return []string{"UNSUBSCRIBE", "c1"} }},
		{4, func() []string { return []string{"PUNSUBSCRIBE"} }},
		{3, func() []string { return []string{"SUNSUBSCRIBE"} }},
		{6, func() []string { return []string{"PUBLISH", "c1", "hello"} }},
		{2, func() []string { return []string{"SPUBLISH", "s1", "hello"} }},
		{3, func() []string { return []string{"CLIENT", "REPLY", "OFF"} }},
		{6, func() []string { return []string{"CLIENT", "REPLY", "ON"} }},
		{4, func() []string { return []string{"client", "reply", "skip"} }},
		{1, func() []string { return []string{"CLIENT", "REPLY", "MAYBE"} }},
		{2, func() []string { return []string{"CLIENT", "TRACKING", "ON"} }},
		{2, func() []string { return []string{"RESET"} }},
		{2, func() []string { return []string{"BLPOP", "list", "1"} }}, // never waits: list is not empty for long
		{1, func() []string { return []string{"XREAD", "COUNT", "1", "BLOCK", "1", "STREAMS", "st", "0"} }},
		{1, func() []string { return []string{"WAIT", "0", "1"} }},
		{2, func() []string { return []string{"SELECT", fmt.Sprint(r.IntN(2))} }},
		{2, func() []string { return []string{"EVAL", "return {1,{2,'a'},redis.status_reply('OK')}", "0"} }},
		{1, func() []string { return []string{"AUTH", "entra", "wrong"} }},
		{1, func() []string { return []string{} }},
	}
	total := 0
	for _, g := range grammar {
		total += g.weight
	}
	words = [][]string{{"RPUSH", "list", "x"}}
	for range 3 + r.IntN(30) {
		at := r.IntN(total)
		for _, g := range grammar {
			if at -= g.weight; at < 0 {
				words = append(words, g.make())
				break
			}
		}
	}
	for range 40 {
		chunks = append(chunks, 1+r.IntN(1<<r.IntN(9)))
	}
	return words, chunks
}

// compare holds the conversation with both servers and returns how many
// re-AUTHs went in, and how the client could tell.
func compare(one, other string, words [][]string, chunks []int, seed uint64) (injected int, err error) {
	want, _, err := talk(one, words, chunks, nil)
	if err != nil {
		return 0, fmt.Errorf("without re-AUTH: %w", err)
	}
	got, injected, err := talk(other, words, chunks, rand.New(rand.NewPCG(seed, 2)))
	if err != nil {
		return injected, fmt.Errorf("with re-AUTH: %w", err)
	}
	if !bytes.Equal(got, want) {
		return injected, fmt.Errorf("client saw\n%q, without re-AUTH\n%q", got, want)
	}
	return injected, nil
}

// talk sends the conversation, and then RESET (behind CLIENT REPLY OFF a QUIT
// alone would not close) and QUIT, and returns all that comes for the client.
// With r set, re-AUTHs are asked for at random instants.
func talk(sock string, words [][]string, chunks []int, r *rand.Rand) (seen []byte, injected int, err error) {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(resp.AppendCommand(nil, "FLUSHALL")); err != nil {
		return nil, 0, err
	}
	if _, err := io.ReadFull(c, make([]byte, len("+OK\r\n"))); err != nil {
		return nil, 0, err
	}
	t := reauth.New()
	auth := resp.AppendCommand(nil, "AUTH", "entra", "secret")
	want := false
	for i, w := range slices.Concat(words, [][]string{{"RESET"}, {"QUIT"}}) {
		b := resp.AppendCommand(nil, w...)
		if i%5 == 4 && len(w) > 0 && !strings.Contains(strings.Join(w, ""), "\n") && !strings.Contains(w[0], "EVAL") {
			b = []byte(strings.Join(w, " ") + "\r\n") // inline
		}
		for size := 0; len(b) > 0; {
			size += chunks[i%len(chunks)]
			piece := b[:min(len(b), size)]
			b = b[len(piece):]
			for len(piece) > 0 {
				want = want || r != nil && r.IntN(3) == 0
				if want && t.Deferred() == reauth.None {
					t.Injected()
					injected++
					want = false
					if _, err := c.Write(auth); err != nil {
						return nil, injected, err
					}
				}
				step := t.Client(piece, want)
				if _, err := c.Write(append(piece[:step.Send:step.Send], step.Insert...)); err != nil {
					return nil, injected, err
				}
				piece = piece[step.Send:]
				if step.Auth && r != nil {
					t.Injected()
					injected++
					want = false
					if _, err := c.Write(auth); err != nil {
						return nil, injected, err
					}
				}
				if step.Hold {
					b = append(piece[:len(piece):len(piece)], b...)
					size += len(piece)
					break
				}
			}
		}
		// Now and then read what has come, so that the tracker learns.
		if r != nil && r.IntN(2) == 0 {
			seen, err = receive(c, t, seen, chunks, 2*time.Millisecond)
			if err != nil {
				return seen, injected, err
			}
		}
	}
	seen, err = receive(c, t, seen, chunks, 20*time.Second)
	return seen, injected, err
}

// receive reads until nothing comes for a while, or the end.
func receive(c net.Conn, t *reauth.Tracker, seen []byte, chunks []int, patience time.Duration) ([]byte, error) {
	buf := make([]byte, 1<<16)
	for i := 0; ; i++ {
		c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(buf[:chunks[i%len(chunks)]])
		for b := buf[:n]; len(b) > 0; {
			k, v, err := t.Server(b)
			if err != nil {
				return seen, err
			}
			seen = append(seen, t.TakeHeld()...)
			if v == reauth.Pass {
				seen = append(seen, b[:k]...)
			}
			b = b[k:]
		}
		switch {
		case err == io.EOF:
			return seen, nil
		case os.IsTimeout(err) && patience < time.Second:
			return seen, nil
		case err != nil:
			return seen, err
		}
	}
}

// shrink drops commands as long as the conversation still fails.
func shrink(words [][]string, fails func([][]string) bool) [][]string {
	for size := len(words) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(words); {
			less := slices.Concat(words[:at], words[at+size:])
			if fails(less) {
				words = less
			} else {
				at++
			}
		}
	}
	return words
}

func transcript(words [][]string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "\t%q\n", w)
	}
	return b.String()
}
