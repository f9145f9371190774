package reauth_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// ASKING and CLIENT CACHING hold for the one next command only.
func TestPrefixCommands(t *testing.T) {
	for _, l := range []string{"ASKING", "CLIENT CACHING YES", "CLIENT CACHING NO"} {
		c := newChat(t)
		c.send(l)
		if c.Deferred() == reauth.None {
			t.Errorf("%s: an AUTH may go between it and the command that it is for", l)
		}
	}
}

// Whoever switches every reply off with SKIP, or runs transactions behind OFF, never reads.
func TestEndlessUnanswered(t *testing.T) {
	for _, cycle := range []string{
		"CLIENT REPLY SKIP\r\nSET a 1\r\n",
		"MULTI\r\nSET a 1\r\nEXEC\r\n",
	} {
		tr := reauth.New()
		if strings.HasPrefix(cycle, "MULTI") {
			tr.Client([]byte("CLIENT REPLY OFF\r\n"), false)
		}
		for i := range 1 << 20 {
			if tr.Client([]byte(cycle), false); tr.Deferred() == reauth.Unfollowable && strings.HasPrefix(cycle, "MULTI") {
				t.Errorf("%q: given up in round %d", cycle, i)
				break
			}
		}
	}
}

// An error that merely looks like a refusal of CLIENT REPLY.
func TestErrorBehindSkip(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY SKIP", "SET a 1", "CLIENT SETINFO LIB-NAME x", "SET b 1")
	c.passes("-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n+OK\r\n")
	c.inject()
	c.hides("+OK\r\n")
}

// CLIENT REPLY OFF refused with a text that does not name it.
func TestOffRefusedOtherwise(t *testing.T) {
	for _, e := range []string{"-BUSY Redis is busy running a script.\r\n", "-NOAUTH Authentication required.\r\n", "-ERR command is not allowed\r\n"} {
		c := newChat(t)
		c.send("CLIENT REPLY OFF", "SET a 1")
		c.inject()
		c.send("SET b 1")
		if got := c.recv(e + "+OK\r\n+OK\r\n+OK\r\n"); got != e+"+OK\r\n+OK\r\n" {
			t.Errorf("client saw %q", got)
		}
	}
}

// A late answer from before CLIENT REPLY OFF does not speak of a MULTI behind it.
func TestTransactionBegunUnseen(t *testing.T) {
	c := newChat(t)
	c.send("DISCARD", "CLIENT REPLY OFF", "MULTI")
	c.passes("-ERR DISCARD without MULTI\r\n")
	c.want(reauth.Transaction)
}

// RESET refused (Redis 6.0 has none) behind CLIENT REPLY OFF: nothing is answered, not even our AUTH.
func TestResetUnknownBehindOff(t *testing.T) {
	c := newChat(t)
	c.send("CLIENT REPLY OFF")
	b := resp.AppendCommand(nil, "RESET")
	if step := c.Client(b, false); step.Send != len(b) {
		t.Fatal(step)
	} else if step.Auth {
		c.Injected()
	}
	c.send("CLIENT REPLY ON", "SET a 1", "SET b 1")
	c.passes("+OK\r\n+OK\r\n+OK\r\n")
}

// A second MONITOR has no reply (Redis 6.0, 7.x).
func TestMonitorTwice(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR")
	c.step(resp.AppendCommand(nil, "MONITOR"), false)
	c.want(reauth.Monitoring)
	c.passes("+OK\r\n+RESET\r\n")
}

// The answer to a RESET does not speak of a MONITOR sent behind it.
func TestMonitorBehindReset(t *testing.T) {
	c := newChat(t)
	if c.step(resp.AppendCommand(nil, "RESET"), false).Auth {
		c.Injected()
	}
	c.send("MONITOR")
	c.recv("+RESET\r\n+OK\r\n+OK\r\n")
	c.want(reauth.Monitoring)
}

// REPLCONF ACK and GETACK are not answered.
func TestReplconf(t *testing.T) {
	c := newChat(t)
	c.send("REPLCONF ACK 0")
	if c.Deferred() != reauth.None {
		return
	}
	c.inject()
	c.hides("+OK\r\n")
}

// RESET refused while monitoring (Redis 6.0, or not permitted).
func TestResetRefusedInMonitor(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR")
	c.passes("+OK\r\n")
	b := resp.AppendCommand(nil, "RESET")
	if c.Client(b, false).Auth {
		c.Injected()
	}
	c.passes("-ERR unknown command `RESET`\r\n")
	c.passes("+1700000000.000001 [0 127.0.0.1:1] \"GET\" \"a\"\r\n")
}

// A status that begins with a digit is not always a MONITOR line.
func TestStatusLikeMonitor(t *testing.T) {
	c := newChat(t)
	c.send("MONITOR", "EVAL x 0")
	b := resp.AppendCommand(nil, "RESET")
	if c.Client(b, false).Auth {
		c.Injected()
	}
	c.passes("+OK\r\n+1 of 3\r\n+RESET\r\n")
	c.hides("+OK\r\n")
}

// An attribute before a push does not make it a reply.
func TestAttributeBeforePush(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3")
	c.passes("%0\r\n")
	c.send("GET a")
	c.inject()
	c.passes("|1\r\n+k\r\n+v\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n")
	c.passes("+OK\r\n") // GET's
	c.hides("+OK\r\n")
}

// HELLO 3 SETNAME auth logs nobody in.
func TestHelloNameAuth(t *testing.T) {
	c := newChat(t)
	c.send("HELLO 3 SETNAME auth")
	c.passes("%0\r\n")
	c.want(reauth.None)
}

// TestTransparentToRestrictedUsers is TestTransparent with more words, users
// who may not do everything (AUTH changes nobody: the default user has the
// same rules), and replies in pieces of one byte.
func TestTransparentToRestrictedUsers(t *testing.T) {
	bin := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if bin == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set")
	}
	count := max(1, *conversations/10)
	users := [][]string{nil, {"-exec"}, {"-multi"}, {"-client"}, {"-subscribe", "-psubscribe", "-ssubscribe"}, {"-discard"}, {"-hello"}, {"-blpop", "-monitor", "-xread"}, {"-reset"}, {"-client|reply"}}
	for _, rules := range users {
		name := strings.Join(rules, "")
		if name == "" {
			name = "all"
		}
		t.Run(name, func(t *testing.T) {
			one, other := startRestricted(t, bin, rules), startRestricted(t, bin, rules)
			from := rand.Uint64() | 1
			if *seed != 0 {
				from = *seed
			}
			injected := 0
			for i := range uint64(count) {
				words, chunks := longConversation(rand.New(rand.NewPCG(from+i, 1)))
				if slices.Contains(rules, "-reset") {
					// Behind a refused RESET the AUTH that was to follow it shows in the stream.
					words = slices.DeleteFunc(words, func(w []string) bool { return len(w) > 0 && w[0] == "MONITOR" })
				}
				n, err := compareLong(one, other, words, chunks, from+i)
				if err != nil {
					words = shrink(words, func(w [][]string) bool {
						_, err := compareLong(one, other, w, chunks, from+i)
						return err != nil
					})
					_, err2 := compareLong(one, other, words, chunks, from+i)
					t.Fatalf("seed %d: %v\nshrunk: %v\nto:\n%s", from+i, err, err2, transcript(words))
				}
				injected += n
			}
			t.Logf("%d conversations from seed %d, %d re-AUTHs injected", count, from, injected)
		})
	}
}

func startRestricted(t *testing.T, bin string, rules []string) string {
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s")
	args := []string{"--port", "0", "--unixsocket", sock, "--save", "", "--dir", dir, "--enable-debug-command", "yes"}
	for _, u := range [][]string{{"entra", "on", ">secret"}, {"default", "on", "nopass"}} {
		args = append(args, "--user")
		args = append(args, u...)
		args = append(args, "+@all", "~*", "&*")
		args = append(args, rules...)
	}
	cmd := exec.Command(bin, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 1000 {
		if c, err := net.Dial("unix", sock); err == nil {
			c.Close()
			return sock
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("does not listen")
	return ""
}

func longConversation(r *rand.Rand) (words [][]string, chunks []int) {
	words, chunks = conversation(r)
	key := func() string { return fmt.Sprint("k", r.IntN(4)) }
	more := []func() []string{
		func() []string { return []string{"MONITOR"} },
		func() []string { return []string{"HELLO", "3", "SETNAME", "me"} },
		func() []string { return []string{"HELLO", "2", "SETNAME", "you"} },
		func() []string { return []string{"HELLO", "3", "NOSUCH"} },
		func() []string { return []string{"HELLO"} },
		func() []string { return []string{"CLIENT", "GETNAME"} },
		func() []string { return []string{"CLIENT", "SETNAME", "x"} },
		func() []string { return []string{"CLIENT", "ID"} },
		func() []string { return []string{"LRANGE", "big", "0", "-1"} },
		func() []string {
			return []string{"EVAL", "for i=1,800 do redis.call('RPUSH','big',i) end return 1", "0"}
		},
		func() []string { return []string{"EVAL", "return redis.error_reply('ERR no such thing')", "0"} },
		func() []string { return []string{"EVAL", "redis.setresp(3) return {map={a=1,b={double=1.5}}}", "0"} },
		func() []string { return []string{"EVAL", "redis.setresp(3) return redis.call('HGETALL','h')", "0"} },
		func() []string { return []string{"HSET", "h", "a", "1"} },
		func() []string { return []string{"HGETALL", "h"} },
		func() []string { return []string{"MULTI"} },
		func() []string { return []string{"MULTI"} },
		func() []string { return []string{"EXEC"} },
		func() []string { return []string{"WATCH", "k1", "k2"} },
		func() []string { return []string{"UNWATCH"} },
		func() []string { return []string{"SET", "k1", "z"} },
		func() []string { return []string{"XREAD", "BLOCK", "3", "STREAMS", "BLOCK", "$"} },
		func() []string { return []string{"XREAD", "COUNT", "1", "STREAMS", "BLOCK", "0"} },
		func() []string {
			return []string{"XREADGROUP", "GROUP", "BLOCK", "c", "BLOCK", "2", "STREAMS", "st", ">"}
		},
		func() []string { return []string{"XADD", "BLOCK", "*-*", "f", "v"} },
		func() []string { return []string{"BLPOP", "none", "0.01"} },
		func() []string { return []string{"BRPOP", key(), "0.01"} },
		func() []string { return []string{"BLPOP"} },
		func() []string { return []string{"BLMPOP", "0.01", "1", "none", "LEFT"} },
		func() []string { return []string{"LPOP", "list"} },
		func() []string { return []string{"LPOP", "list", "0"} },
		func() []string { return []string{"GET"} },
		func() []string { return []string{"QUIT"} },
		func() []string { return []string{"SUBSCRIBE", "c1", "c2", "c3"} },
		func() []string { return []string{"UNSUBSCRIBE", "c1", "c2", "nope"} },
		func() []string { return []string{"PSUBSCRIBE", "c*", "d*"} },
		func() []string { return []string{"PUNSUBSCRIBE", "d*"} },
		func() []string { return []string{"PUBLISH", "c2", "message"} },
		func() []string { return []string{"PING", "x"} },
		func() []string { return []string{"RESET", "x"} },
		func() []string { return []string{"RESET"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "attrib"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "null"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "bignum"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "verbatim"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "set"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "map"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "double"} },
		func() []string { return []string{"DEBUG", "PROTOCOL", "true"} },
		func() []string { return []string{"WAIT", "1", "5"} },
		func() []string { return []string{"CLIENT", "REPLY", "SKIP"} },
		func() []string { return []string{"CLIENT", "REPLY", "OFF"} },
		func() []string { return []string{"CLIENT", "REPLY", "ON"} },
		func() []string { return []string{"CLIENT", "REPLY"} },
		func() []string { return []string{"CLIENT", "TRACKING", "OFF"} },
	}
	extra := 3 + r.IntN(15)
	for range extra {
		w := more[r.IntN(len(more))]()
		words = slices.Insert(words, r.IntN(len(words)+1), w)
	}
	if r.IntN(4) == 0 {
		for i := range chunks {
			chunks[i] = 1
		}
	}
	return words, chunks
}

var monitorLine = regexp.MustCompile(`\+[0-9]+\.[0-9]+ \[([0-9]+) [^]]*\]`)

func compareLong(one, other string, words [][]string, chunks []int, seed uint64) (injected int, err error) {
	want, _, err := talkLong(one, words, chunks, nil)
	if err != nil {
		return 0, fmt.Errorf("without re-AUTH: %w", err)
	}
	got, injected, err := talkLong(other, words, chunks, rand.New(rand.NewPCG(seed, 2)))
	if err != nil {
		return injected, fmt.Errorf("with re-AUTH: %w (client saw %q, without %q)", err, got, want)
	}
	got, want = monitorLine.ReplaceAll(got, []byte("+T [$1]")), monitorLine.ReplaceAll(want, []byte("+T [$1]"))
	got, want = clientIDs.ReplaceAll(got, []byte("id:N")), clientIDs.ReplaceAll(want, []byte("id:N"))
	got, want = endOrder.ReplaceAll(got, []byte("unsubscribe X")), endOrder.ReplaceAll(want, []byte("unsubscribe X"))
	if !bytes.Equal(got, want) {
		return injected, fmt.Errorf("client saw\n%q, without re-AUTH\n%q", got, want)
	}
	return injected, nil
}

// Redis ends all subscriptions in an order of its own.
var endOrder = regexp.MustCompile(`unsubscribe\r\n\$[0-9]+\r\n[a-z0-9*]+`)

var clientIDs = regexp.MustCompile(`\$2\r\nid\r\n:[0-9]+`)

func talkLong(sock string, words [][]string, chunks []int, r *rand.Rand) (seen []byte, injected int, err error) {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(resp.AppendCommand(nil, "FLUSHALL")); err != nil {
		return nil, 0, err
	}
	if _, err := io.ReadFull(c, make([]byte, len("+OK\r\n"))); err != nil {
		return nil, 0, err
	}
	t := reauth.New()
	auth := resp.AppendCommand(nil, "AUTH", "entra", "secret")
	want, gone := false, false
	write := func(b []byte) {
		if _, err := c.Write(b); err != nil {
			gone = true // QUIT came earlier: what was answered is still to be read
		}
	}
	for i, w := range slices.Concat(words, [][]string{{"RESET"}, {"QUIT"}}) {
		b := resp.AppendCommand(nil, w...)
		if i%5 == 4 && len(w) > 0 && !strings.Contains(strings.Join(w, ""), "\n") && !strings.Contains(w[0], "EVAL") {
			b = []byte(strings.Join(w, " ") + "\r\n") // inline
		}
		if i%7 == 6 {
			b = append([]byte("\r\n*-1\r\n"), b...)
		}
		for size := 0; len(b) > 0 && !gone; {
			size += chunks[i%len(chunks)]
			piece := b[:min(len(b), size)]
			b = b[len(piece):]
			for len(piece) > 0 && !gone {
				want = want || r != nil && r.IntN(3) == 0
				if want && t.Deferred() == reauth.None {
					t.Injected()
					injected++
					want = false
					write(auth)
				}
				step := t.Client(piece, want)
				write(append(piece[:step.Send:step.Send], step.Insert...))
				piece = piece[step.Send:]
				if step.Auth && r != nil {
					t.Injected()
					injected++
					want = false
					write(auth)
				}
				if step.Hold {
					b = append(piece[:len(piece):len(piece)], b...)
					size += len(piece)
					break
				}
			}
		}
		if r != nil && r.IntN(2) == 0 {
			seen, err = receiveLong(c, t, seen, chunks, time.Millisecond)
			if err != nil {
				return seen, injected, err
			}
		}
	}
	seen, err = receiveLong(c, t, seen, chunks, 3*time.Second)
	if os.IsTimeout(err) {
		err = nil // RESET was not permitted behind CLIENT REPLY OFF
	}
	return seen, injected, err
}

func receiveLong(c net.Conn, t *reauth.Tracker, seen []byte, chunks []int, patience time.Duration) ([]byte, error) {
	seen, err := receive(c, t, seen, chunks, patience)
	if err != nil && strings.Contains(err.Error(), "reset") {
		err = nil
	}
	return seen, err
}
