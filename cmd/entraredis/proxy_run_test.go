package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/internal/resp"
)

func TestSpareProcessors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the proxy has no loops here")
	}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct {
		has      int
		variable string
		want     int
	}{
		{1, "", 1},
		{2, "", 4},
		{3, "", 6},
		{3, "3", 3},
	} {
		runtime.GOMAXPROCS(tt.has)
		spareProcessors(func(name string) string { return map[string]string{"GOMAXPROCS": tt.variable}[name] })
		if got := runtime.GOMAXPROCS(0); got != tt.want {
			t.Errorf("%d, GOMAXPROCS=%q: got %d, want %d", tt.has, tt.variable, got, tt.want)
		}
	}
}

// lockedText is written and read at a time.
type lockedText struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// reloading is a service without its loop: a test looks at the files instead.
func reloading(t *testing.T, file string) (v *service, log *lockedText) {
	t.Helper()
	l, c, err := loadedBy(t, nil, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	log = &lockedText{}
	v = &service{loader: l, level: &slog.LevelVar{}, log: slog.New(slog.NewTextHandler(log, nil)), began: c,
		daemon: daemon.New(slog.New(slog.DiscardHandler), time.Second), files: c.files, stamp: stampsOf(c.files)}
	t.Cleanup(v.daemon.Shutdown)
	v.apply(c)
	if err := v.daemon.Tried(t.Context()); err != nil {
		t.Fatal(err)
	}
	return v, log
}

// putFile writes a file that was changed at that second: two writes may fall into one
// tick of the file system's clock.
func putFile(t *testing.T, path, text string, at int64) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(at, 0)); err != nil {
		t.Fatal(err)
	}
}

func TestAReloadLeavesATargetThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	password, cert, key := filepath.Join(dir, "password"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	putFile(t, password, "hunter2", 1)
	const (
		head = "credential: azure-cli\ntargets:\n- {host: 'one:1', listen: '127.0.0.1:0', name: one, proxy-password-file: '%s'"
		tail = "}\n- {host: 'two:1', listen: '127.0.0.1:0', name: two"
	)
	before := fmt.Sprintf(head, password) + tail + "}\n"
	v, log := reloading(t, before)
	client, err := net.Dial("tcp", v.daemon.Status()[0].Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	replies := resp.NewReader(client)
	goesOn := func(what string) {
		t.Helper()
		if _, err := client.Write(resp.AppendCommand(nil, "AUTH", "wrong")); err != nil {
			t.Fatal(err)
		}
		if got, err := replies.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-WRONGPASS") {
			t.Errorf("%s: got %q, %v, want the old target to answer", what, got, err)
		}
	}
	reloads := func(good, bad uint64, want string) {
		t.Helper()
		if got := v.reloaded(); got.Good != good || got.Bad != bad || !strings.Contains(got.Err, want) || (want == "") != (got.Err == "") {
			t.Errorf("got %+v, want %d good, %d bad and %q", got, good, bad, want)
		}
	}

	// Away for a moment, as while it is replaced, and there again.
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	v.look()
	goesOn("password away")
	reloads(0, 1, "target one: p.yaml:3: open "+password)
	reloads(0, 1, "(name a file that holds the secret alone)")
	v.look() // no news
	reloads(0, 1, "open ")
	putFile(t, password, "hunter2", 2)
	v.look()
	goesOn("password there again")
	reloads(1, 1, "")

	// Empty, as while it is written.
	putFile(t, password, "\n", 3)
	v.look()
	goesOn("password empty")
	reloads(1, 2, "is empty")
	putFile(t, password, "hunter2", 4)
	v.look()
	reloads(2, 2, "")

	// A certificate that is none, beside a target for which all is well.
	after := fmt.Sprintf(head, password) + ", tls-cert: '" + cert + "', tls-key: '" + key + "'" + tail + ", max-clients: 7}\n"
	putFile(t, v.file, after, 5)
	v.look()
	goesOn("no certificate")
	reloads(2, 3, "target one: p.yaml:3, p.yaml:3: open "+cert)
	if !strings.Contains(log.String(), `kept=[] started=[two] stopped=[two] refused=[one]`) {
		t.Errorf("two should have changed:\n%s", log)
	}
	// Wrong as a whole: what was refused is not tried again behind its back.
	putFile(t, v.file, "nonsense: 1\n"+after, 6)
	v.look()
	writePair(t, cert, key, 1)
	v.look()
	goesOn("a file that is wrong")
	reloads(2, 4, "nonsense")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	putFile(t, v.file, after, 7)
	v.look()
	goesOn("no key")
	reloads(2, 5, "open "+key)
	// Certificates are not looked at for changes, but what was refused is.
	writePair(t, cert, key, 2)
	v.look()
	v.look() // nothing is left to try
	reloads(3, 5, "")
	if _, err := replies.ReadFrame(); err == nil {
		t.Error("client of the old target: got a reply, want the end")
	}
	if n := strings.Count(log.String(), `msg="new settings of a target refused, it stays as it was" target=one error="`); n != 4 {
		t.Errorf("told of %d refusals, want 4:\n%s", n, log)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a secret in the log:\n%s", log)
	}
}

func TestReloadChecksCredentialSettings(t *testing.T) {
	const file = "targets:\n- {host: 'one:1', listen: '127.0.0.1:0', name: one, credential: %s}\n"
	v, _ := reloading(t, fmt.Sprintf(file, "azure-cli"))
	addr := v.daemon.Status()[0].Listen[0]
	putFile(t, v.file, fmt.Sprintf(file, "client-secret"), 1)
	v.reload("SIGHUP")
	if got := v.reloaded(); got.Bad != 1 || !strings.Contains(got.Err, "target one: client-secret credential: ") || !strings.Contains(got.Err, "is not set") {
		t.Errorf("got %+v", got)
	}
	if now := v.daemon.Status()[0]; now.State != daemon.Serving || now.Listen[0] != addr || now.Credential != "azure-cli" {
		t.Errorf("got %+v, want it as it was", now)
	}
}
