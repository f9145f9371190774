package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const waitLong = `Wait until an entraredis proxy on this machine is ready: every target accepts
clients and has a valid token. Exit 0 then, exit 1 when --max is over; the reason
is said. For the start of a job, where there is no probe, and no shell either.`

const shutdownLong = `End an entraredis proxy on this machine that was started with --allow-shutdown,
as SIGTERM does: for a job that is done and whose sidecar would run on. It does
not wait for the end.`

// pollEvery is how often wait asks.
const pollEvery = 250 * time.Millisecond

func adminFlag(cmd *cobra.Command, addr *string) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(addr, "admin", defaultAdmin, "admin `address` of the proxy")
}

func waitCommand(streams) *cobra.Command {
	var addr, target string
	limit := between{value: 30 * time.Second, max: 24 * time.Hour}
	cmd := &cobra.Command{
		Use:     "wait",
		Short:   "Wait until a proxy on this machine is ready",
		Long:    waitLong,
		Example: "  entraredis wait --max 1m && exec my-program",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := adminURL(cmd, addr, "/readiness")
			if err != nil {
				return err
			}
			return waitFor(cmd.Context(), url, target, limit.value)
		},
	}
	adminFlag(cmd, &addr)
	cmd.Flags().StringVar(&target, "target", "", "`name` of the one target to wait for")
	cmd.Flags().Var(&limit, "max", "how long to wait at most")
	return cmd
}

func shutdownCommand(streams) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:     "shutdown",
		Short:   "End a proxy on this machine",
		Long:    shutdownLong,
		Example: "  ./work; entraredis shutdown",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := adminURL(cmd, addr, "/quitquitquit")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Second)
			defer cancel()
			ok, text, err := ask(ctx, http.MethodPost, url)
			switch {
			case err != nil:
				return &hintedError{err: err, hint: "does a proxy run there? see --admin"}
			case !ok:
				return fmt.Errorf("%s", text)
			}
			return nil
		},
	}
	adminFlag(cmd, &addr)
	return cmd
}

// adminURL is where to ask. A proxy that listens on every address is asked on
// this machine's own.
func adminURL(cmd *cobra.Command, addr, path string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", &usageError{err: fmt.Errorf("%s: %q is not host:port", origin(cmd.Flags(), "admin"), addr), hint: "for example " + defaultAdmin}
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}

func waitFor(ctx context.Context, url, target string, limit time.Duration) error {
	if target != "" {
		url += "?target=" + strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "+", "%2B", " ", "%20").Replace(target)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		ok, text, err := ask(bounded, http.MethodGet, url)
		switch {
		case ok:
			return nil
		case bounded.Err() != nil: // says nothing of the proxy
		case err != nil:
			last = err
		default:
			last = errors.New(text)
		}
		select {
		case <-bounded.Done():
			if ctx.Err() != nil {
				return interrupted(ctx)
			}
			return fmt.Errorf("not ready within %s: %w", short(limit), last)
		case <-tick.C:
		}
	}
}

// ask sends a request; text is the answer in one line.
func ask(ctx context.Context, method, url string) (ok bool, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return false, "", err
	}
	// Never through a proxy of the environment's: it is this machine's own.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return false, "", err
	}
	return resp.StatusCode == http.StatusOK, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; "), nil
}
