// Command entraredis is the local door to Redis caches that take nothing but
// Microsoft Entra tokens (proxy), and what helps with them: a doctor, a look at
// tokens, a demo, and an emulator of the issuer and the cache.
//
//	go run github.com/entraredis/entraredis/cmd/entraredis@latest demo
//
// See docs/cli.md for every flag, variable and exit code.
package main

import (
	"context"
	"io"
	"os"
	"strings"
)

func main() {
	ctx, stop := notifySignals(context.Background())
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit code and touches nothing of
// the process beyond its arguments, except that some credential kinds read
// Azure's own variables (AZURE_*, IDENTITY_*) from the process environment.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(streams{in: stdin, out: stdout, err: stderr, env: lookup(env)})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return report(ctx, stderr, root.ExecuteContext(ctx))
}

// streams is what a subcommand sees of the process.
type streams struct {
	in       io.Reader
	out, err io.Writer
	env      func(name string) string // "" when unset: an empty variable counts as unset
}

func lookup(env []string) func(string) string {
	values := make(map[string]string, len(env))
	for _, pair := range env {
		if name, value, ok := strings.Cut(pair, "="); ok {
			values[name] = value
		}
	}
	return func(name string) string { return values[name] }
}
