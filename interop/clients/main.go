// Command clients runs clients of several languages, unmodified, through entraredis proxy for many lives of a token, on a real Redis
// behind a front that ends a connection with its token, and demands that they notice nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// tokenLife is how long each token lives, in the front's eyes too.
const tokenLife = 3 * time.Second

var errNoticed = errors.New("a client noticed something")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "clients: error:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	lives, modes := 20, []string{"dedicated", "shared", "auto"}
	var names []string
	for _, c := range clients {
		names = append(names, c.name)
	}
	only := slices.Clone(names)
	c := &cobra.Command{
		Use:           "clients",
		Short:         "clients of several languages through entraredis proxy",
		Example:       "  clients --lives 4 --upstreams shared --clients ioredis,redis-py",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cast []client
			for _, name := range only {
				i := slices.Index(names, name)
				if i < 0 {
					return fmt.Errorf("--clients: there is no %q, only %s", name, strings.Join(names, ", "))
				}
				cast = append(cast, clients[i])
			}
			if lives < 1 {
				return errors.New("--lives must be above 0")
			}
			return run(cmd.Context(), cmd.OutOrStdout(), cast, modes, time.Duration(lives)*tokenLife)
		},
	}
	c.Flags().IntVar(&lives, "lives", lives, fmt.Sprintf("lives of a token, %v each", tokenLife))
	c.Flags().StringSliceVar(&modes, "upstreams", modes, "`modes` of the proxy")
	c.Flags().StringSliceVar(&only, "clients", only, "these `clients`")
	return c
}

// client is a program, or code of this one, that uses Redis.
type client struct {
	name string
	play func(ctx context.Context, t *tools, addr string, span time.Duration) (result, error)
}

var clients = []client{
	{"redis-cli", playCLI},
	{"go-redis", playGoRedis},
	{"redigo", playRedigo},
	{"ioredis+BullMQ", playScript("ioredis+BullMQ")},
	{"node-redis", playScript("node-redis")},
	{"redis-py", playScript("redis-py")},
	{"Celery", playScript("Celery")},
}

// result is what a client did, and what it noticed.
type result struct {
	Done       map[string]int `json:"done"`
	Errors     []string       `json:"errors"` // the first ones
	Failed     int            `json:"failed"`
	Reconnects int            `json:"reconnects"`
}

// complaints are what must not be.
func (r result) complaints() (all []string) {
	all = r.Errors
	if r.Failed > len(r.Errors) {
		all = append(all, fmt.Sprintf("and %d errors more", r.Failed-len(r.Errors)))
	}
	if r.Reconnects > 0 {
		all = append(all, fmt.Sprintf("connected %d times again", r.Reconnects))
	}
	if len(r.Done) == 0 {
		all = append(all, "did nothing")
	}
	for what, n := range r.Done {
		if n == 0 {
			all = append(all, "no "+what)
		}
	}
	return all
}

func run(ctx context.Context, out io.Writer, cast []client, modes []string, span time.Duration) error {
	t, err := newTools(ctx, cast)
	if err != nil {
		return err
	}
	defer t.close()
	noticed := false
	for _, mode := range modes {
		s, err := newStage(ctx, t, mode)
		if err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
		results := make([]result, len(cast))
		var all sync.WaitGroup
		for i, c := range cast {
			all.Go(func() {
				limited, cancel := context.WithTimeout(ctx, span+2*time.Minute)
				defer cancel()
				r, err := c.play(limited, t, s.addr, span)
				if err != nil {
					r.Errors = append(r.Errors, err.Error())
				}
				results[i] = r
			})
		}
		all.Wait()
		seen, err := s.judge(ctx)
		s.close()
		if err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
		fmt.Fprintf(out, "--upstreams %s, %v, %d lives of a token, %d re-AUTHs\n", mode, span, span/tokenLife, seen.reauths)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for i, c := range cast {
			verdict := "ok"
			if len(results[i].complaints()) > 0 {
				verdict, noticed = "NOTICED", true
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", c.name, verdict, summary(results[i].Done))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for i, c := range cast {
			for _, text := range results[i].complaints() {
				fmt.Fprintf(out, "    %s: %s\n", c.name, text)
			}
		}
		for _, text := range seen.complaints {
			noticed = true
			fmt.Fprintf(out, "    proxy: %s\n", text)
		}
	}
	if noticed {
		return errNoticed
	}
	return nil
}

func summary(done map[string]int) string {
	var parts []string
	for what, n := range done {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	slices.SortFunc(parts, func(a, b string) int { return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):]) })
	return strings.Join(parts, ", ")
}
