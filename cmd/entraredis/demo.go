package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/entraredis/entraredis/internal/demo"
)

const demoLong = `Run Redis load through entraredis while tokens expire every few seconds, beside
a plain go-redis client with a token fetched by hand.

Everything is on this machine: an Entra issuer over HTTPS, a Redis over TLS that
closes each connection when its token expires, and real azidentity credentials
(client secret, certificate, workload identity). go-redis, redigo and a pool
that idles go through the Dialer with retries off, so that no lost connection
hides. Nothing listens beyond the loopback interface and nothing stays behind.

In a terminal it draws a table, otherwise (or with --plain, NO_COLOR or
TERM=dumb) it writes a line a second. It ends with a summary, and with exit 0
only if no command of ours failed, no connection of ours was dropped, and the
plain client was dropped at least once.`

const demoExample = `  entraredis demo

  # ten minutes of tokens that live a minute
  entraredis demo --duration 10m --token-lifetime 1m

  # in CI
  entraredis demo --plain --duration 12s --token-lifetime 2s`

type demoOptions struct {
	duration time.Duration
	lifetime between
	plain    bool
}

func demoCommand(s streams) *cobra.Command {
	o := &demoOptions{lifetime: between{value: 5 * time.Second, min: 2 * time.Second, max: 24 * time.Hour}}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Watch tokens expire while connections and commands live on",
		Long:    demoLong,
		Example: demoExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), s, cmd.Flags(), o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&o.duration, "duration", 30*time.Second, "how long to run, at least two token lifetimes")
	f.Var(&o.lifetime, "token-lifetime", "how long a token lives, 2s to 24h")
	f.BoolVar(&o.plain, "plain", false, "write plain lines even to a terminal")
	return cmd
}

func runDemo(ctx context.Context, s streams, flags *pflag.FlagSet, o *demoOptions) error {
	options := demo.Options{
		Duration:      o.duration,
		TokenLifetime: o.lifetime.value,
		Out:           s.out,
		Live:          !o.plain && s.env("NO_COLOR") == "" && s.env("TERM") != "dumb" && isTerminal(s.out),
		Environ:       []string{"TERM=" + s.env("TERM"), "COLORTERM=" + s.env("COLORTERM")},
	}
	if isTerminal(s.in) {
		options.In = s.in
	}
	summary, err := demo.Run(ctx, options)
	if wrong := new(demo.OptionError); errors.As(err, &wrong) {
		return &usageError{err: fmt.Errorf("%s %s", origin(flags, wrong.Option), wrong.Problem), hint: "see 'entraredis demo --help'"}
	}
	if err != nil {
		return err
	}
	if err := summary.Write(s.out); err != nil {
		return err
	}
	err = summary.Err()
	switch {
	case summary.Interrupted && summary.Ours.Failed == 0 && summary.Ours.Dropped == 0:
		// Cut short, the demo proves nothing either way.
		return interrupted(ctx)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(s.out, "ok: nothing of ours failed through %d token lifetimes; the plain client was dropped %d times\n", summary.Lifetimes, summary.Plain.Dropped)
	return err
}

// isTerminal takes what run was given: a file in the program, a buffer in tests.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
