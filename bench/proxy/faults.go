package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

var errHarmed = errors.New("a fault did harm that it must not do")

func faultsCommand() *cobra.Command {
	span, match, short := time.Minute, "", false
	modes := []string{dedicated, shared}
	c := &cobra.Command{
		Use:   "faults",
		Short: "break what the proxy stands on, under load, and count what its clients notice",
		Long: fmt.Sprintf(`Each fault is inflicted for a third of the time, on a proxy whose clients increment counters, one each. What follows holds for all of them:
an increment that was acknowledged is never lost, one that was sent once is never applied twice, the proxy's memory is bounded, and
every client works again soon, %v behind the fault at the latest, and has no error from then on, on the same process. Where others misbehave, and not
the cache, no client of the load may have an error at all.`, recoveryLimit),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			re, err := regexp.Compile(match)
			if err != nil {
				return fmt.Errorf("--faults: %w", err)
			}
			if err := checkModes(modes); err != nil {
				return err
			}
			if short {
				span = 2 * time.Second
			}
			return runFaults(cmd.Context(), cmd.OutOrStdout(), re, modes, span, short)
		},
	}
	p := c.Flags()
	p.DurationVar(&span, "time", span, "how long each takes, under load")
	p.StringVar(&match, "faults", "", "only those whose name matches this `regexp`")
	p.StringSliceVar(&modes, "upstreams", modes, "`modes` of the proxy: "+strings.Join(allModes, ", "))
	p.BoolVar(&short, "short", false, "2s each, and fewer clients")
	return c
}

var allModes = []string{dedicated, shared, auto}

// checkModes is there so that a slip is told before anything is built and started.
func checkModes(modes []string) error {
	for _, mode := range modes {
		if !slices.Contains(allModes, mode) {
			return fmt.Errorf("--upstreams: there is no %q, only %s", mode, strings.Join(allModes, ", "))
		}
	}
	return nil
}

func runFaults(ctx context.Context, out io.Writer, match *regexp.Regexp, modes []string, span time.Duration, short bool) error {
	home, err := emptyWorld()
	if err != nil {
		return err
	}
	defer home.close()
	if err := buildProgram(ctx, home.entraredis); err != nil {
		return fmt.Errorf("build entraredis: %w", err)
	}
	fmt.Fprintf(out, "%-34s %-10s %9s %7s %7s %9s %10s %10s\n", "fault", "upstreams", "acked", "failed", "unsure", "worst", "recovered", "memory")
	harmed := false
	for _, f := range faults(short) {
		if !match.MatchString(f.name) {
			continue
		}
		for _, mode := range modes {
			r, err := f.run(ctx, home.entraredis, mode, span)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.name, mode, err)
			}
			verdict := "ok"
			if len(r.harm) > 0 {
				harmed, verdict = true, "HARM"
			}
			fmt.Fprintf(out, "%-34s %-10s %9d %7d %7d %9v %10v %6.1f MiB  %s\n", f.name, mode, r.acked, r.failed, r.unsure,
				r.worst.Round(time.Millisecond), r.recovered.Round(time.Millisecond), float64(r.memory)/(1<<20), verdict)
			for _, h := range append(r.harm, r.notes...) {
				fmt.Fprintf(out, "    %s\n", h)
			}
		}
	}
	if harmed {
		return errHarmed
	}
	return nil
}

// fault is something that goes wrong.
type fault struct {
	name string
	// front puts the emulator's Redis, which ends a connection with its token, before the real one; the tokens live that long.
	front time.Duration
	flags []string // of the proxy
	files int      // the proxy's limit of open files; 0 = none
	// quiet says that no client of the load may notice anything.
	quiet  bool
	memory int64 // that the proxy may take more than before, in bytes
	// inflict makes it happen and undoes it once ctx is done.
	inflict func(ctx context.Context, s *scene) error
}

// result is what came of a fault.
type result struct {
	acked, failed, unsure int
	worst                 time.Duration // the longest that a client waited for an answer
	memory                int64         // the growth at its highest
	recovered             time.Duration // behind the fault
	harm, notes           []string
}

// run loads the proxy for span: a sixth before the fault, a third with it, and the rest behind it, at least a quarter of it recovered.
func (f fault) run(ctx context.Context, program, mode string, span time.Duration) (result, error) {
	s, err := newScene(ctx, f, program, mode)
	if err != nil {
		return result{}, err
	}
	defer s.close()
	l := newFaultLoad(s.addr)
	watch := watchMemory(s.proxy)
	l.start()
	defer l.stop()
	began := time.Now()
	if err := rest(ctx, span/6); err != nil {
		return result{}, err
	}
	watch.mark()
	lasts := max(span/3, s.leastFault())
	during, over := context.WithTimeout(ctx, lasts)
	err = f.inflict(during, s)
	over()
	if err != nil {
		return result{}, err
	}
	recovered := l.recover(ctx)
	l.settle()
	if err := rest(ctx, max(span/4, span-time.Since(began))); err != nil {
		return result{}, err
	}
	l.stop()
	r := result{notes: s.notes, recovered: recovered}
	if r.memory, err = watch.stop(); err != nil {
		r.harm = append(r.harm, fmt.Sprintf("the proxy is gone: %v", err))
	}
	if r.memory > f.memory {
		r.harm = append(r.harm, fmt.Sprintf("memory grew by %d MiB, at most %d were expected", r.memory>>20, f.memory>>20))
	}
	r.harm = append(r.harm, s.harm...)
	return r, l.judge(&r, s.w.plain, f.quiet)
}

// scene is one fault's own Redis, issuer and proxy.
type scene struct {
	w       *world
	front   bool
	life    time.Duration // of tokens
	relay   *relay        // between the proxy and the cache
	proxy   *process
	addr    string // of the proxy
	renewed [2]string
	foreign [2]string // certificate and key that nobody trusts
	harm    []string
	notes   []string
}

// leastFault is how long a fault about tokens has to last to be one: over two ends of tokens.
func (s *scene) leastFault() time.Duration {
	if s.front {
		return 5 * s.life / 2
	}
	return 0
}

func (s *scene) harmed(format string, args ...any) {
	s.harm = append(s.harm, fmt.Sprintf(format, args...))
}

func (s *scene) close() {
	s.proxy.stop()
	s.relay.close()
	s.w.close()
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *scene) file(name string) string { return filepath.Join(s.w.dir, name) }
