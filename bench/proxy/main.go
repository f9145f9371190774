// Command proxy measures entraredis proxy and the proxies that people put before a TLS-only Redis today (HAProxy, stunnel,
// twemproxy) against what they have without one: redis-benchmark over TLS, "direct". Everything runs on this machine and shares its
// cores, so that every figure is a ratio of two things measured next to each other in one round.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// errMissed means that the tables were printed, --strict was given, and a bar was missed.
var errMissed = errors.New("a bar was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "proxy: error:", err)
		os.Exit(1)
	}
}

// flags are what the command line says.
type flags struct {
	short, strict bool
	rounds        int
	seconds       time.Duration
	cases         string
	paths         []string
	out           string

	match *regexp.Regexp // cases, compiled
}

func command() *cobra.Command {
	f := flags{rounds: 5, seconds: 500 * time.Millisecond}
	root := &cobra.Command{
		Use:   "proxy",
		Short: "entraredis proxy, HAProxy, stunnel and twemproxy against direct TLS",
		Example: "  proxy --short\n  proxy --cases '^throughput 3B' --paths haproxy,shared\n" +
			"  proxy --cases '^re-AUTH|^rotation' --strict\n  proxy --out results\n  proxy faults",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return run(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	p := root.Flags()
	p.BoolVar(&f.short, "short", false, "one round of a few cases, to see that everything works; the figures mean nothing")
	p.BoolVar(&f.strict, "strict", false, "exit 1 if a bar was missed")
	p.IntVar(&f.rounds, "rounds", f.rounds, "rounds of each case; printed is the median")
	p.DurationVar(&f.seconds, "time", f.seconds, "how long direct TLS takes for a command of a case, besides 20ms for each client")
	p.StringVar(&f.cases, "cases", "", "only cases whose name matches this `regexp`")
	p.StringSliceVar(&f.paths, "paths", nil, "only these `paths`, and direct: "+strings.Join(pathNames, ", "))
	root.AddCommand(faultsCommand())
	p.StringVar(&f.out, "out", "", "`directory` to write the tables and plots to")
	return root
}

func (f *flags) check() (err error) {
	if f.match, err = regexp.Compile(f.cases); err != nil {
		return fmt.Errorf("--cases: %w", err)
	}
	if f.rounds < 1 || f.seconds <= 0 {
		return errors.New("--rounds and --time must be above 0")
	}
	for _, name := range f.paths {
		if !slices.Contains(pathNames, name) {
			return fmt.Errorf("--paths: there is no %q, only %s", name, strings.Join(pathNames, ", "))
		}
	}
	if f.short {
		f.rounds, f.seconds = 1, 50*time.Millisecond
	}
	return nil
}

// wants says whether a path is to be measured. Direct always is: the others are ratios to it.
func (f *flags) wants(path string) bool {
	return path == direct || len(f.paths) == 0 || slices.Contains(f.paths, path)
}
