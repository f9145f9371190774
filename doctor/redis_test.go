package doctor_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/gomodule/redigo/redis"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

// realRedis starts the server that the environment variable names; without it
// the test is skipped.
func realRedis(t *testing.T) (dial func() (net.Conn, error)) {
	t.Helper()
	path := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if path == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER names no redis-server")
	}
	dir, err := os.MkdirTemp("", "doctor") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var log []byte
	for !strings.Contains(string(log), "ready to accept connections at") && !strings.Contains(string(log), "The server is now ready") {
		b := make([]byte, 1024)
		n, err := out.Read(b)
		if log = append(log, b[:n]...); err != nil {
			t.Fatalf("%s ended: %s", path, log)
		}
	}
	return func() (net.Conn, error) { return net.Dial("unix", socket) }
}

// The probes rely on Redis looking at the access policy before the arguments
// of a command. A real Redis with real rules confirms that, and that none of
// them counts as a change.
func TestProbesOnARealRedis(t *testing.T) {
	dial := realRedis(t)
	nc, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewConn(nc, 0, 0)
	defer admin.Close()
	do := func(args ...string) any {
		t.Helper()
		rest := make([]any, len(args)-1)
		for i, a := range args[1:] {
			rest[i] = a
		}
		reply, err := admin.Do(args[0], rest...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return reply
	}
	changes := func() string {
		t.Helper()
		info, _ := redis.String(do("INFO", "persistence"), nil)
		return regexp.MustCompile(`rdb_changes_since_last_save:\d+`).FindString(info)
	}
	do("SET", "orders:1", "before")
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	token := e.Mint("app", nil)

	usual := []string{"connection", "read", "write", "transactions", "scripts", "publish", "subscribe"}
	all := append(slices.Clone(usual), "server information", "administration")
	for _, tc := range []struct {
		rules  string
		may    []string
		anchor string // of the first finding
	}{
		{"+@all ~* &*", all, ""},
		{"+@all -@dangerous ~* &*", usual, ""}, // Data Contributor, but for three subcommands
		{"+@read +@connection +cluster|info +cluster|nodes +cluster|slots ~*", []string{"connection", "read"}, "read-only"},
		{"+@all ~app:* &*", []string{"connection", "transactions", "scripts", "publish", "subscribe", "server information", "administration"}, "key-pattern"},
		{"+@all ~orders:*", []string{"connection", "read", "write", "transactions", "scripts", "server information", "administration"}, "no-permission"},
		{"+@connection ~*", []string{"connection"}, "nothing-permitted"},
	} {
		t.Run(tc.rules, func(t *testing.T) {
			do(append([]string{"ACL", "SETUSER", emulator.AppObjectID, "reset", "on", ">" + token}, strings.Fields(tc.rules)...)...)
			before := changes()
			p := newPatient(t, e, false)
			p.give("token", static(azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}))
			p.o.Key = "orders:1"
			p.o.NetDial = func(context.Context, string, string) (net.Conn, error) { return dial() }
			report, text := p.run(context.Background())
			i := slices.IndexFunc(report.Checks, func(r doctor.Result) bool { return r.Check == "permissions" })
			result := report.Checks[i]
			var may []string
			for _, f := range result.Facts {
				if f.Value == "yes" {
					may = append(may, f.Name)
				}
			}
			if !slices.Equal(may, tc.may) {
				t.Errorf("may %q, want %q\n%s", may, tc.may, text)
			}
			anchor := ""
			if len(result.Findings) > 0 {
				anchor = strings.TrimPrefix(result.Findings[0].Anchor, "docs/errors.md#")
			}
			if anchor != tc.anchor {
				t.Errorf("anchor %q, want %q\n%s", anchor, tc.anchor, text)
			}
			if after := changes(); after != before || before == "" {
				t.Errorf("the data has changed: %s, then %s", before, after)
			}
			if value, _ := redis.String(do("GET", "orders:1"), nil); value != "before" {
				t.Errorf("the key has changed to %q", value)
			}
		})
	}
}
