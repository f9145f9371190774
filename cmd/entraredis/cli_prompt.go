package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/reeflective/readline"
	"golang.org/x/term"

	"github.com/entraredis/entraredis/internal/prompt"
	"github.com/entraredis/entraredis/internal/resp"
)

// prompt talks with a person, until the person leaves or SIGTERM.
func (c *cli) prompt(ctx context.Context) error {
	// A cache that is not there is said before there is a prompt, with an exit
	// code; but that PING is refused says only that it is.
	if err := c.session.Do(ctx, [][]byte{[]byte("PING")}, func(prompt.Value) {}); err != nil {
		return c.ending(ctx, err)
	}
	// Ctrl-C is for the command that runs, and must not end the rest.
	ctx, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	interrupts := make(chan struct{}, 1)
	go sortSignals(ctx, signals, interrupts, end)

	lines := c.newLines()
	for {
		line, err := readLine(ctx, lines)
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			continue // the line is dropped
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return interrupted(ctx)
		case err != nil:
			return err
		}
		select {
		case <-interrupts: // came while nothing ran
		default:
		}
		if leave := c.answer(ctx, line, interrupts); leave {
			return nil
		}
		if c.writeErr != nil {
			return c.writeErr
		}
	}
}

// sortSignals turns SIGTERM into the end of ctx, and SIGINT into an interrupt.
func sortSignals(ctx context.Context, signals <-chan os.Signal, interrupts chan<- struct{}, end context.CancelCauseFunc) {
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGTERM {
				end(signalError{syscall.SIGTERM})
				return
			}
			select {
			case interrupts <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

// readLine reads a line. When ctx ends first it gives the terminal back as it
// was: the reading itself cannot be ended.
func readLine(ctx context.Context, lines lineReader) (string, error) {
	stdin := int(os.Stdin.Fd())
	before, err := term.GetState(stdin)
	if err != nil {
		return "", err
	}
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := lines.Readline()
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		if _, plain := lines.(*plainLines); !plain {
			fmt.Fprint(os.Stdout, "\x1b[?2004l\r\n") // bracketed paste off
		}
		return "", errors.Join(ctx.Err(), term.Restore(stdin, before))
	}
}

// answer does what a line says, and reports whether that is to leave.
func (c *cli) answer(ctx context.Context, line string, interrupts <-chan struct{}) (leave bool) {
	args, ok := resp.SplitLine([]byte(line))
	switch {
	case !ok:
		fmt.Fprintln(c.out, "(error) unbalanced quotes")
		return false
	case len(args) == 0:
		return false
	}
	switch strings.ToUpper(string(args[0])) {
	case "QUIT", "EXIT":
		return true
	case "CLEAR":
		fmt.Fprint(c.out, "\x1b[H\x1b[2J")
		return false
	case "HELP", "?":
		c.help(args[1:])
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-interrupts:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := c.do(ctx, args)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(c.out, "(interrupted)")
	default:
		fmt.Fprintf(c.out, "(error) %s\n", strings.TrimPrefix(err.Error(), "entraredis: "))
		if _, hint := classify(err); hint != "" {
			fmt.Fprintf(c.out, "(hint) %s\n", hint)
		}
	}
	return false
}

const cliHelp = `HELP COMMAND shows what a command takes; Tab completes names.
Ctrl-C drops the line or ends what runs; Ctrl-R searches the history; Ctrl-D leaves.
`

func (c *cli) help(words [][]byte) {
	if len(words) == 0 {
		fmt.Fprint(c.out, cliHelp)
		return
	}
	var names []string
	for _, w := range words {
		names = append(names, string(w))
	}
	found, n := prompt.Find(names)
	if n == 0 {
		fmt.Fprintf(c.out, "no command %q in Redis %s, which this help is of\n", strings.Join(names, " "), prompt.TableVersion)
		return
	}
	fmt.Fprintf(c.out, "%s\n  %s\n", found.Usage(), found.Summary)
	for _, sub := range prompt.Complete(found.Name + " ") {
		fmt.Fprintf(c.out, "  %s\n", sub.Usage())
	}
}
