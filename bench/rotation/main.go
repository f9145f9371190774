// Command rotation runs Redis clients through what breaks them around an Entra token's expiry, and prints what it counted:
// an issuer that fails at refresh time (rotation issuer) and connection pools, held connections, transactions and
// subscriptions that outlive their token (rotation pool). rotation latency is about entraredis alone: what the re-AUTH of a
// thousand connections does to the latency of commands. In the first two every contestant gets the same emulator, the same load and the
// same fault; every (contestant, case) pair runs in a process of its own, so that a panic or a deadlock is a table entry.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// errMissed means the tables were printed and a row of ours is short of the bar.
var errMissed = errors.New("a row of entraredis is short of the bar")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "rotation: error:", err)
		os.Exit(1)
	}
}

// flags are the settings both tables share.
type flags struct {
	short, json bool
	parallel    int
	contestants []string
	cases       []string
}

func command() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:           "rotation",
		Short:         "Entra token expiry, measured side by side: entraredis and redis/go-redis-entraid",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	p := root.PersistentFlags()
	p.BoolVar(&f.short, "short", false, "a subset on shorter tokens, under a minute")
	p.BoolVar(&f.json, "json", false, "print JSON instead of tables")
	p.IntVar(&f.parallel, "parallel", 0, "cases at the same time (default: 16 for issuer, 3 for pool, 6 for pool --short)")
	p.StringSliceVar(&f.contestants, "contestant", nil, "only these contestants (default: all)")
	p.StringSliceVar(&f.cases, "case", nil, "only cases whose name holds one of these words (default: all)")

	issuer := &cobra.Command{
		Use:     "issuer",
		Short:   "The issuer fails while a token is being refreshed",
		Example: "  rotation issuer --short\n  rotation issuer --case 503 --contestant dialer,peer",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTable(cmd.Context(), cmd.OutOrStdout(), f, "issuer", issuerCases(f.short), printIssuer)
		},
	}
	pool := &cobra.Command{
		Use:     "pool",
		Short:   "Pools, held connections and subscriptions outlive their tokens",
		Example: "  rotation pool --short\n  rotation pool --case idle,memory --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTable(cmd.Context(), cmd.OutOrStdout(), f, "pool", poolCases(f.short), printPool)
		},
	}
	latency := &cobra.Command{
		Use:     "latency",
		Short:   "1,000 connections under a fixed-rate load re-authenticate: what it does to the p99",
		Example: "  rotation latency --short",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLatency(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	server := &cobra.Command{
		Use:    "emulator LIFETIME",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lifetime, err := time.ParseDuration(args[0])
			if err != nil {
				return err
			}
			return serveEmulator(cmd.Context(), lifetime, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	child := &cobra.Command{
		Use:    "child SPEC",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runChild(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	root.AddCommand(issuer, pool, latency, server, child)
	return root
}
