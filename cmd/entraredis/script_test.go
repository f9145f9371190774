package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/entraredis/entraredis/internal/resp"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"entraredis": main, "redisping": redisPing, "noted": noted})
}

// noted is a program that runs another one, and writes its process ID to the
// file pid and its exit code to the file code. The other ends when this one is
// interrupted, as it is when a script has failed: left behind by a shell, it
// would keep the script's pipes open, and the test waiting for their end.
func noted() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	err := cmd.Start()
	if err == nil {
		go func() {
			<-interrupted
			cmd.Process.Signal(syscall.SIGTERM)
		}()
		err = writeWhole("pid", []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
		cmd.Wait()
		code := cmd.ProcessState.ExitCode()
		err = errors.Join(err, os.WriteFile("code", []byte(strconv.Itoa(code)+"\n"), 0o600))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			// The emulator writes its CA's certificate to the cache directory.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfile":  waitFile,
			"waitmatch": waitMatch,
			"loadenv":   loadEnv,
			"status":    status,
			"freeport":  freePort,
			"redis":     redis,
			"fetch":     fetch,
			"await":     await,
			"envsubst":  envSubst,
		},
	})
}

// waitFile waits until a file exists: waitfile FILE.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	until(ts, args[0]+" did not appear", func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// waitMatch waits until a file is as a pattern says: waitmatch PATTERN FILE.
func waitMatch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitmatch PATTERN FILE")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	until(ts, args[1]+" did not come to be as "+args[0], func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[1]))
		return err == nil && pattern.Match(b)
	})
}

// until waits for a state that no event tells of, and for a minute at most.
func until(ts *testscript.TestScript, not string, holds func() bool) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			ts.Fatalf("%s", not)
		}
	}
}

// loadEnv does what a shell does with a file of export lines: loadenv FILE.
func loadEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: loadenv FILE")
	}
	pairs, err := parseExports(ts.ReadFile(args[0]))
	ts.Check(err)
	for name, value := range pairs {
		ts.Setenv(name, value)
	}
}

// status runs a command and requires its exit code: status CODE COMMAND ARGS...
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// freePort puts a port that nobody has into a variable: freeport NAME.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

// redis sends one command after another on a new connection and wants the last
// reply to be as a pattern says: redis ADDR PATTERN COMMAND [, COMMAND...].
func redis(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: redis ADDR PATTERN COMMAND...")
	}
	network, addr := "tcp", args[0]
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(time.Minute)))
	replies := resp.NewReader(c)
	var reply []byte
	for _, command := range strings.Split(strings.Join(args[2:], " "), ",") {
		_, err := c.Write(resp.AppendCommand(nil, strings.Fields(command)...))
		ts.Check(err)
		reply, err = replies.ReadFrame()
		ts.Check(err)
	}
	if regexp.MustCompile(args[1]).Match(reply) == neg {
		ts.Fatalf("reply %q, pattern %q", reply, args[1])
	}
}

// fetch asks for a URL and writes the answer to a file: fetch CODE URL FILE.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fetch CODE URL FILE")
	}
	answer, err := http.Get(args[1])
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o600))
	if strconv.Itoa(answer.StatusCode) != args[0] {
		ts.Fatalf("%s: got %d %s, want %s", args[1], answer.StatusCode, body, args[0])
	}
}

// await asks for a URL until the answer is as a pattern says: await PATTERN URL.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await PATTERN URL")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for last := "no answer"; ; {
		if answer, err := http.Get(args[1]); err == nil {
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if last = string(body); pattern.Match(body) {
				return
			}
		}
		select {
		case <-look.C:
		case <-late:
			ts.Fatalf("%s did not come to be %q: %s", args[1], args[0], last)
		}
	}
}

// envSubst copies a file with the variables in it: envsubst FROM TO.
func envSubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: envsubst FROM TO")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(writeWhole(ts.MkAbs(args[1]), []byte(text), 0o600))
}
