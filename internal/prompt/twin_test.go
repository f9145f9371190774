package prompt_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/prompt"
	"github.com/entraredis/entraredis/internal/resp"
)

// What redis-cli makes of a real server's replies, we make of them too.
func TestFormsAreThoseOfRedisCLI(t *testing.T) {
	server := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if server == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER is not set")
	}
	cli := filepath.Join(filepath.Dir(server), "redis-cli")
	if _, err := os.Stat(cli); err != nil {
		t.Skip("no redis-cli beside the server")
	}
	dir, err := os.MkdirTemp("", "") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	process := exec.CommandContext(t.Context(), server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--enable-debug-command", "yes")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Wait() })
	var conn net.Conn
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for conn == nil {
		if conn, err = net.Dial("unix", socket); err != nil {
			<-look.C
		}
	}
	defer conn.Close()
	replies := resp.NewReader(conn)
	ask := func(args ...string) prompt.Value {
		t.Helper()
		if _, err := conn.Write(resp.AppendCommand(nil, args...)); err != nil {
			t.Fatal(err)
		}
		frame, err := replies.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		v, err := prompt.Parse(frame)
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		return v
	}
	ask("RPUSH", "list", "1", "2", "3", "4", "5", "6", "7", "8", "9", "ten\n\"x\"\xff\a\b\t\\")
	ask("HSET", "hash", "f", "v", "g", "")
	ask("XADD", "stream", "1-1", "a", "b", "c", "d")
	commands := []string{
		"PING", "GET missing", "NONSENSE", "LRANGE list 0 -1", "LRANGE list 5 4", "HGETALL hash", "HGETALL missing", "XRANGE stream - +",
		"XREAD STREAMS stream 0", "LLEN list", "COMMAND INFO get mget", "EVAL return{1,{2,{3,'x'}},false} 0", "CONFIG GET maxmemory*",
	}
	for _, kind := range []string{"string", "integer", "double", "null", "array", "set", "map", "verbatim", "true", "false"} {
		commands = append(commands, "DEBUG PROTOCOL "+kind)
	}
	for _, proto := range []string{"2", "3"} {
		ask("HELLO", proto)
		for _, line := range commands {
			args := strings.Fields(line)
			reply := ask(args...)
			for form, got := range map[string][]byte{"--no-raw": []byte(prompt.Human(reply)), "--raw": prompt.Raw(reply)} {
				want, err := exec.Command(cli, append([]string{"-s", socket, "-" + proto, form}, args...)...).Output()
				if err != nil {
					t.Fatalf("redis-cli %s %s: %v", form, line, err)
				}
				// How many newlines end an output differs from version to version.
				if !bytes.Equal(bytes.TrimRight(got, "\n"), bytes.TrimRight(want, "\n")) {
					t.Errorf("RESP%s %s %s:\ngot  %q\nwant %q", proto, form, line, got, want)
				}
			}
		}
	}
}
