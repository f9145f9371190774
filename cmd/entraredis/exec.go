package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
)

const execLong = `Run COMMAND with a private proxy to the cache, for as long as COMMAND runs. Any
Redis client finds an ordinary Redis at REDIS_URL, with a password and without
TLS; connections outlive their tokens.

The proxy listens on a loopback port. Every user of this machine can reach a
port, so it asks for a password that is made at random for this one run and is
known only through the environment of COMMAND. Where a template names {socket},
it listens on a Unix socket too, with the same password, in a directory that
only this user may enter.

--env sets one more variable, from a template with these placeholders:

  {url}       redis://:PASSWORD@127.0.0.1:PORT/0, as in REDIS_URL
  {host}      127.0.0.1
  {port}      the port
  {password}  the password; the username is default, or any
  {socket}    path of the Unix socket

COMMAND has the terminal, stdin, stdout and stderr to itself. Signals that come
here are passed on to it (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2,
SIGWINCH), except those that it had from the terminal already. When it ends, so
does the proxy.

The exit code is that of COMMAND, or 128 and the number of the signal that ended
it; 127 if COMMAND is not found and 126 if it cannot be run. COMMAND is not
started if there is no token (3) or the cache refuses or cannot be reached (4).`

const execExample = `  # a program that takes REDIS_URL
  entraredis exec --target example.redis.cache.windows.net -- ./worker --queue mail

  # programs that want it in parts
  entraredis exec --target example.redis.cache.windows.net \
    --env 'REDIS_HOST={host}' --env 'REDIS_PORT={port}' --env 'REDIS_PASSWORD={password}' -- npm start

  # redis-cli, whose password has a variable
  entraredis exec --target example.redis.cache.windows.net \
    --env 'REDISCLI_AUTH={password}' --env 'S={socket}' -- sh -c 'redis-cli -s "$S" INFO server'`

type execOptions struct {
	cacheOptions
	wanted string
	env    []string
}

func execCommand(s streams) *cobra.Command {
	o := &execOptions{cacheOptions: newCacheOptions()}
	cmd := &cobra.Command{
		Use:     "exec --target HOST[:PORT] [flags] -- COMMAND [ARGS...]",
		Short:   "Run a program with a private proxy to a cache",
		Long:    execLong,
		Example: execExample,
		Args:    o.check,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExec(cmd.Context(), s, cmd.Flags(), o, args)
		},
		DisableFlagsInUseLine: true,
	}
	o.register(cmd.Flags())
	o.complete(cmd)
	return cmd
}

func (o *execOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.SetInterspersed(false) // behind COMMAND the flags are its own
	f.StringVar(&o.wanted, "target", "", "the cache, `HOST[:PORT]`")
	f.StringArrayVar(&o.env, "env", nil, "set a variable for COMMAND, `NAME=TEMPLATE`; may be repeated")
	o.registerConfig(f)
	o.cacheOptions.register(f)
}

func (o *execOptions) check(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return &usageError{err: fmt.Errorf("%s needs a COMMAND", cmd.CommandPath()),
		hint: "for example: entraredis exec --target example.redis.cache.windows.net -- ./worker"}
}

func runExec(ctx context.Context, s streams, flags *pflag.FlagSet, o *execOptions, argv []string) error {
	addr, err := o.address(flags, o.wanted, "entraredis exec --target example.redis.cache.windows.net -- ./worker")
	if err != nil {
		return err
	}
	templates, err := parseTemplates(o.env, flags)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return cannotRun(s, argv[0], err)
	}
	dialer, err := o.dialer(s, flags, entraredis.Options{})
	if err != nil {
		return err
	}
	defer dialer.Source.Close()

	// From here on signals are for COMMAND; until it has begun they also end ctx.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := reachable(ctx, dialer, addr); err != nil {
		return err
	}
	door, err := openDoor(dialer, addr, templates.use("socket"))
	if err != nil {
		return fmt.Errorf("private proxy: %w", err)
	}
	defer door.close()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}

	child := exec.Command(path, argv[1:]...)
	child.Args[0] = argv[0]
	child.Env = append(os.Environ(), templates.fill(door.places())...)
	child.Stdin, child.Stdout, child.Stderr = s.in, s.out, s.err
	if err := child.Start(); err != nil {
		return cannotRun(s, argv[0], err)
	}
	ended := make(chan struct{})
	go passOn(child.Process, signals, ended)
	err = child.Wait()
	close(ended)
	return exitOf(child.ProcessState, err)
}

// passOn passes signals on until the process has ended.
func passOn(p *os.Process, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case sig := <-signals:
			if !hasIt(sig) {
				_ = p.Signal(sig) // it may just have ended
			}
		case <-ended:
			return
		}
	}
}

// exitOf is the exit code of a process as an error.
func exitOf(state *os.ProcessState, err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{exitSignals + int(status.Signal())}
	}
	if code := state.ExitCode(); code != exitOK {
		return exitError{code}
	}
	return nil
}

// The exit codes of a command that did not run, as POSIX shells have them.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

func cannotRun(s streams, name string, err error) error {
	code := exitCannotRun
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitNotFound
	}
	cause := err
	for wrapped := errors.Unwrap(cause); wrapped != nil; wrapped = errors.Unwrap(cause) {
		cause = wrapped // the outer ones name the command again
	}
	fmt.Fprintf(s.err, "entraredis: error: run %q: %v\n", name, cause)
	return exitError{code}
}
