// Command interop runs the Go clients of Redis, unmodified, on real Redis servers through an entraredis.Dialer, while the
// token is refreshed every few seconds and the servers refuse older ones. It prints what the clients did and what it cost
// them, and exits with 1 if that is anything.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
)

// errMissed means the table was printed and a row is short of a bar.
var errMissed = errors.New("a row is short of a bar")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "interop: error:", err)
		os.Exit(1)
	}
}

// clientLog is what go-redis says of itself.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.InfoContext(ctx, fmt.Sprintf(format, args...))
}

func command() *cobra.Command {
	var (
		s       settings
		short   bool
		verbose bool
		only    []string
	)
	cmd := &cobra.Command{
		Use:           "interop",
		Short:         "Unmodified clients on real servers, over many tokens",
		Example:       "  interop --short\n  interop --only rueidis,cluster --for 30s",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if short && !cmd.Flags().Changed("for") {
				s.span = 12 * time.Second
			}
			if short && !cmd.Flags().Changed("every") {
				s.every = 2 * time.Second
			}
			if s.every < time.Second {
				return fmt.Errorf("--every %v is less than a second", s.every)
			}
			if s.rows = rows(only); len(s.rows) == 0 {
				return fmt.Errorf("no row holds all of %q", only)
			}
			s.log = slog.New(slog.DiscardHandler)
			if verbose {
				s.log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			}
			redis.SetLogger(clientLog{s.log})
			r, err := run(cmd.Context(), s)
			if len(r.Outcomes) > 0 {
				err = errors.Join(err, r.print(cmd.OutOrStdout()))
			}
			if err == nil && !r.passed() {
				err = errMissed
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&short, "short", false, "12 seconds with a new token every 2")
	f.DurationVar(&s.span, "for", 2*time.Minute, "how long to run once all pools are full")
	f.DurationVar(&s.every, "every", 3*time.Second, "from one token to the next")
	f.DurationVar(&s.pace, "pace", 100*time.Millisecond, "between two rounds of a scenario, on average")
	f.BoolVar(&s.long, "long-blocks", true, "BLPOP 0 and XREADGROUP BLOCK 0 that are served only after their token's end")
	f.StringSliceVar(&only, "only", nil, "only rows whose name (client/topology/RESP2 or RESP3) holds all of these")
	f.BoolVarP(&verbose, "verbose", "v", false, "log refused re-AUTHs, failed refreshes and what go-redis logs")
	return cmd
}
