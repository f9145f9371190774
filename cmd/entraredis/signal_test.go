//go:build !windows

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// start runs the program (TestMain put it on PATH) with its stdout on a pipe.
func start(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("entraredis", args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "HOME="+t.TempDir())
	cmd.Stderr = &strings.Builder{}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewReader(stdout)
}

// end sends the signal and returns what was still written and the exit code.
func end(t *testing.T, cmd *exec.Cmd, stdout io.Reader, s syscall.Signal) (rest string, code int) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return string(data), cmd.ProcessState.ExitCode()
}

func TestSignalIsTheNormalEndOfTheEmulator(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		ready := filepath.Join(t.TempDir(), "ready")
		cmd, stdout := start(t, "emulator", "--redis-addr", "127.0.0.1:0", "--issuer-addr", "127.0.0.1:0", "--identity-addr", "127.0.0.1:0", "--format", "env", "--ready-file", ready)
		if _, err := stdout.ReadString('\n'); err != nil {
			t.Fatal(err, cmd.Stderr)
		}
		// The output comes when the ready file stands.
		if _, err := os.Stat(ready); err != nil {
			t.Error(err)
		}
		if _, code := end(t, cmd, stdout, s); code != 0 {
			t.Errorf("%v: exit code %d, want 0; stderr %s", s, code, cmd.Stderr)
		}
		if _, err := os.Stat(ready); !os.IsNotExist(err) {
			t.Errorf("%v: ready file: got %v, want it gone", s, err)
		}
	}
}

func TestSignalEndsTheDemoWithASummary(t *testing.T) {
	cmd, stdout := start(t, "demo", "--duration", "10m")
	for range 2 { // the heading, and the first second
		if _, err := stdout.ReadString('\n'); err != nil {
			t.Fatal(err, cmd.Stderr)
		}
	}
	rest, code := end(t, cmd, stdout, syscall.SIGINT)
	if code != 130 || !strings.Contains(rest, "through entraredis") {
		t.Errorf("got exit code %d and %q, want 130 and a summary", code, rest)
	}
	if got, want := cmd.Stderr.(*strings.Builder).String(), "entraredis: error: ended by interrupt\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
}

func TestSignalEndsTheDoctor(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stdout := start(t, "doctor", "127.0.0.1:1", "--credential", "client-secret", "--tenant-id", "contoso.test",
		"--client-id", "0a0a0a0a-0000-4000-9000-000000000001", "--client-secret-file", secret, "--authority-host", "https://"+silent.Addr().String())
	conn, err := silent.Accept() // it has come to the credential
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rest, code := end(t, cmd, stdout, syscall.SIGINT)
	if code != 130 || !strings.Contains(rest, "FAILED   tcp") || strings.Contains(rest, "FAILED   credential") ||
		!strings.Contains(rest, "skipped  credential   ended before it was done: ended by interrupt") {
		t.Errorf("got exit code %d, want 130; stdout:\n%s", code, rest)
	}
	if got, want := cmd.Stderr.(*strings.Builder).String(), "entraredis: error: ended by interrupt\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
}

func TestSignalEndsAWaitForTheIssuer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stdout := start(t, "token", "--credential", "client-secret", "--tenant-id", "contoso.test",
		"--client-id", "0a0a0a0a-0000-4000-9000-000000000001", "--client-secret-file", secret, "--authority-host", "https://"+silent.Addr().String())
	conn, err := silent.Accept() // the acquisition has begun
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rest, code := end(t, cmd, stdout, syscall.SIGTERM)
	if code != 143 || rest != "" {
		t.Errorf("got exit code %d and %q, want 143 and nothing; stderr %s", code, rest, cmd.Stderr)
	}
}

func TestSignalEndsTheProxyAsSystemdWants(t *testing.T) {
	dir := t.TempDir()
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	told := func() string {
		b := make([]byte, 256)
		n, err := notified.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	t.Setenv("WATCHDOG_USEC", "20000")
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		// Without an issuer it serves, and tells clients why they cannot be.
		cmd, stdout := start(t, "proxy", "127.0.0.1:1", "--unix", filepath.Join(dir, "s"), "--admin", "off", "--log-format", "json", "--credential", "client-secret", "--tenant-id", "contoso.test",
			"--client-id", "0a0a0a0a-0000-4000-9000-000000000001", "--client-secret-file", secret, "--authority-host", "https://127.0.0.1:1", "--timeout", "1s")
		for seen := ""; !strings.Contains(seen, "READY=1") || !strings.HasSuffix(seen, "WATCHDOG=1\n"); {
			seen += told() + "\n"
		}
		c, err := net.Dial("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			t.Fatal(err)
		}
		reply, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(reply, "-NOAUTH entraredis: acquire a token") {
			t.Errorf("got %q, %v, want the cause", reply, err)
		}
		if _, code := end(t, cmd, stdout, s); code != 0 {
			t.Errorf("%v: exit code %d, want 0; stderr %s", s, code, cmd.Stderr)
		}
		var said []string
		for line := range strings.Lines(cmd.Stderr.(*strings.Builder).String()) {
			var entry struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" {
				t.Errorf("log: got %q, %v, want JSON", line, err)
			}
			said = append(said, entry.Msg)
		}
		if !slices.Contains(said, "serving") || !slices.Contains(said, "shutting down") {
			t.Errorf("log: got %q", said)
		}
		for told() != "STOPPING=1" {
		}
		if _, err := os.Stat(filepath.Join(dir, "s")); !os.IsNotExist(err) {
			t.Errorf("%v: socket: got %v, want it gone", s, err)
		}
	}
}
