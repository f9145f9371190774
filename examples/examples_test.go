// Package examples_test runs every program of this folder against the emulator.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

const (
	lifetime = 4 * time.Second
	pause    = 200 * time.Millisecond
	tries    = int(5*lifetime/2/pause) + 1 // more than two lifetimes
)

var kinds = []string{"goredis-dialer", "goredis-adapter", "rueidis-adapter", "static"}

// binaries is the folder with the built programs, one sub-folder per section.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "examples")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binaries = dir
		flag.Parse()
		if err := flag.Set("test.parallel", "12"); err != nil { // the programs mostly wait
			panic(err)
		}
		return m.Run()
	}())
}

func TestHelloWorld(t *testing.T) {
	t.Parallel()
	build(t, "hello-world")
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			em := emulator.RunT(t)
			out := run(t, em, em.RedisAddr(), "hello-world", kind, nil)
			if got, want := strings.Join(out, "\n"), "hello world"; got != want {
				t.Errorf("output: got %q, want %q", got, want)
			}
			if stats := em.Stats(); stats.Auths == 0 || stats.AuthsRefused != 0 {
				t.Errorf("AUTHs: got %d and %d refused, want some and none", stats.Auths, stats.AuthsRefused)
			}
		})
	}
}

func TestReauthentication(t *testing.T) {
	t.Parallel()
	build(t, "reauthentication")
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			em := emulator.RunT(t, emulator.Options{TokenLifetime: lifetime})
			cable := lay(t, em.RedisAddr())
			lines := 0
			out := run(t, em, cable.addr(), "reauthentication", kind, func(string) {
				if lines++; lines == 3 {
					cable.cut()
				}
			})
			said, errs := count(out)
			// The last try itself may be the one that finds its connection closed.
			if !slices.Contains(out, "hello "+strconv.Itoa(tries-1)) && !slices.Contains(out, "hello "+strconv.Itoa(tries-2)) {
				t.Errorf("the program did not carry on: its last line is %q", out[len(out)-1])
			}
			stats := em.Stats()
			if stats.Accepted < 2 {
				t.Errorf("connections: got %d, want another after the cut", stats.Accepted)
			}
			if stats.TokensIssued < 3 {
				t.Errorf("tokens: got %d, want at least 3", stats.TokensIssued)
			}
			if kind == "static" {
				// Cut once, and closed by the service at two expiries or more.
				if stats.Expired < 2 || errs < 3 {
					t.Errorf("got %d connections closed at expiry and %d errors, want at least 2 and 3", stats.Expired, errs)
				}
				return
			}
			if errs > 2 || said < tries-2 {
				t.Errorf("got %d lines and %d errors of %d tries, want at most 2 errors, for the cut", said, errs, tries)
			}
			if kind == "goredis-dialer" && stats.Expired != 0 {
				t.Errorf("connections closed at expiry: got %d, want 0", stats.Expired)
			}
		})
	}
}

func TestTokenCache(t *testing.T) {
	t.Parallel()
	build(t, "token-cache")
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			em := emulator.RunT(t, emulator.Options{TokenLifetime: lifetime})
			out := run(t, em, em.RedisAddr(), "token-cache", kind, nil)
			if said, errs := count(out); said != tries || errs != 0 {
				t.Errorf("got %d lines and %d errors, want %d and 0", said, errs, tries)
			}
			stats := em.Stats()
			if stats.Reauths < 2 {
				t.Errorf("re-AUTHs: got %d, want at least 2", stats.Reauths)
			}
			// go-redis dials others while it re-AUTHs the ones it has, and rueidis
			// spreads its commands over more than one from the beginning.
			most := map[string]uint64{"goredis-dialer": 1, "rueidis-adapter": 2, "static": 1}[kind]
			if most != 0 && (stats.Accepted > most || stats.Expired != 0) {
				t.Errorf("got %d connections, %d closed at expiry, want at most %d and 0", stats.Accepted, stats.Expired, most)
			}
			if kind != "static" && !strings.Contains(strings.Join(out, "\n"), "refreshed token") {
				t.Errorf("output does not tell of a refreshed token:\n%s", strings.Join(out, "\n"))
			}
		})
	}
}

// count returns how many lines of a program are greetings and errors.
func count(out []string) (said, errs int) {
	for _, line := range out {
		switch {
		case strings.HasPrefix(line, "hello "):
			said++
		case strings.HasPrefix(line, "error:"):
			errs++
		}
	}
	return said, errs
}

func build(t *testing.T, section string) {
	t.Helper()
	dir := filepath.Join(binaries, section) + string(filepath.Separator)
	if out, err := exec.Command("go", "build", "-o", dir, "./"+section+"/...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// run runs a program to its end, with the emulator's managed identity, and
// returns what it printed. each is told of every line at once.
func run(t *testing.T, em *emulator.Emulator, addr, section, kind string, each func(line string)) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, em.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	name := filepath.Join(binaries, section, kind)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	var args []string
	if section != "hello-world" {
		args = []string{"-tries", strconv.Itoa(tries), "-pause", pause.String()}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AZURE_") || strings.HasPrefix(v, "ENTRAREDIS_")
	})
	cmd.Env = append(cmd.Env,
		"AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential",
		"IDENTITY_ENDPOINT="+em.IdentityURL()+"/msi/token",
		"IDENTITY_HEADER="+em.IdentityHeader(),
		"ENTRAREDIS_ADDR="+addr,
		"ENTRAREDIS_CA_FILE="+ca,
		"ENTRAREDIS_SERVER_NAME="+em.Host(),
	)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for s := bufio.NewScanner(stdout); s.Scan(); {
		out = append(out, s.Text())
		if each != nil {
			each(s.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, strings.Join(out, "\n"), stderr.String())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s/%s printed\n%s\n%s", section, kind, strings.Join(out, "\n"), stderr.String())
		}
	})
	return out
}

// A cable is a way to the emulator that can be cut.
type cable struct {
	listener net.Listener
	conns    chan net.Conn
}

func lay(t *testing.T, addr string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, conns: make(chan net.Conn, 100)}
	t.Cleanup(func() {
		listener.Close()
		c.cut()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				continue
			}
			c.conns <- near
			go pump(near, far)
			go pump(far, near)
		}
	}()
	return c
}

func (c *cable) addr() string { return c.listener.Addr().String() }

// cut breaks every connection that runs through the cable now.
func (c *cable) cut() {
	for {
		select {
		case conn := <-c.conns:
			conn.Close()
		default:
			return
		}
	}
}

func pump(from, to net.Conn) {
	defer to.Close()
	_, _ = io.Copy(to, from)
}
