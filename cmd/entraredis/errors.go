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

	"github.com/entraredis/entraredis"
)

// The exit codes, documented in the root command's help and in docs/cli.md.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitToken   = 3
	exitRedis   = 4
	exitSignals = 128 // plus the signal's number
)

// usageError is a mistake on the command line or in an ENTRAREDIS_ variable.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// hintedError is a failure with advice that its own type cannot carry.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// exitError ends the program with a code, after the command has said all there
// is to say.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "ended by " + e.signal.String() }

// notifySignals returns a context that SIGINT or SIGTERM ends, with a
// signalError as its cause. A second signal ends the process at once.
func notifySignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// report prints err in the program's one form and returns the exit code for it.
func report(ctx context.Context, stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	// A job that a signal cut short fails with whatever it was doing at that
	// moment; the signal is the reason.
	var ended signalError
	if errors.As(err, &ended) || (errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &ended)) {
		fmt.Fprintf(stderr, "entraredis: error: %v\n", ended)
		return exitSignals + int(ended.signal)
	}
	if said, ok := errors.AsType[exitError](err); ok {
		return said.code
	}
	code, hint := classify(err)
	fmt.Fprintf(stderr, "entraredis: error: %s\n", strings.TrimPrefix(err.Error(), "entraredis: "))
	if hint != "" {
		fmt.Fprintf(stderr, "entraredis: hint: %s\n", hint)
	}
	return code
}

func classify(err error) (code int, hint string) {
	var (
		usage  *usageError
		hinted *hintedError
		token  *entraredis.TokenError
		auth   *entraredis.AuthError
	)
	switch {
	case errors.As(err, &usage):
		return exitUsage, usage.hint
	case errors.As(err, &token):
		return exitToken, advice(token)
	case errors.As(err, &auth):
		return exitRedis, advice(auth)
	case errors.As(err, &hinted):
		return exitFailed, hinted.hint
	}
	return exitFailed, ""
}

func advice(err interface {
	Remedy() string
	Anchor() string
}) string {
	return err.Remedy() + " (" + err.Anchor() + ")"
}

// interrupted is the error of a job that a signal, or Ctrl-C read as a key,
// ended early.
func interrupted(ctx context.Context) error {
	var ended signalError
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return signalError{syscall.SIGINT}
}
