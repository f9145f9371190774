package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis/emulator"
)

const emulatorLong = `Run an Entra issuer and a Redis that refuses what Azure refuses, in the
foreground, until SIGINT or SIGTERM.

It prints its addresses, its principals and the environment to export, as text,
as JSON or as shell lines. The certificates come from a CA of its own, written
to --write-ca-file; the variables it prints make Go, OpenSSL, Node.js and Python
programs trust it. Everything it signs is worthless outside this machine.`

const emulatorExample = `  # tokens that live 30 seconds, to see an application reconnect
  entraredis emulator --token-lifetime 30s

  # in a script: start, wait for the ready file, load the environment
  entraredis emulator --format env --ready-file emulator.env &
  until [ -e emulator.env ]; do sleep 0.1; done
  . ./emulator.env
  entraredis token --credential environment

  # an Azure Managed Redis with identities of your own
  entraredis emulator --flavor amr --redis-addr 127.0.0.1:10000 --principals principals.json`

type emulatorOptions struct {
	flavor                              choice
	lifetime, refreshIn, grace, delay   between
	redisAddr, issuerAddr, identityAddr string
	plaintext, refuseHello, verbose     bool
	caFile, readyFile, principals       string
	format                              choice
}

func emulatorCommand(s streams) *cobra.Command {
	o := &emulatorOptions{
		flavor:    choice{value: string(emulator.FlavorACR), allowed: []string{string(emulator.FlavorACR), string(emulator.FlavorAMR), string(emulator.FlavorRedis)}},
		lifetime:  between{value: emulator.DefaultTokenLifetime, min: emulator.MinTokenLifetime, max: emulator.MaxTokenLifetime},
		refreshIn: between{max: 24 * time.Hour, step: time.Second},
		grace:     between{max: time.Hour},
		delay:     between{max: time.Minute},
		format:    choice{value: "text", allowed: []string{"text", "json", "env"}},
	}
	cmd := &cobra.Command{
		Use:     "emulator",
		Short:   "Run an Entra issuer and an Entra-only Redis on this machine",
		Long:    emulatorLong,
		Example: emulatorExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runEmulator(cmd.Context(), s, cmd.Flags(), o)
		},
	}
	o.register(cmd.Flags())
	complete(cmd, "flavor", o.flavor.allowed)
	complete(cmd, "format", o.format.allowed)
	return cmd
}

func (o *emulatorOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.Var(&o.flavor, "flavor", "acr (Azure Cache for Redis), amr (Azure Managed Redis) or redis (Redis 7 with nothing blocked)")
	f.Var(&o.lifetime, "token-lifetime", "how long a token lives, 2s to 24h")
	f.Var(&o.refreshIn, "refresh-in", "refresh_in of the issuer's answers; 0s sends none")
	f.Var(&o.grace, "grace", "close a connection this long after its token expired")
	f.StringVar(&o.principals, "principals", "", "JSON `file` of principals instead of the built-in ones (see docs/cli.md)")
	f.StringVar(&o.redisAddr, "redis-addr", "127.0.0.1:6380", "listen `address` of Redis; port 0 takes a free one")
	f.StringVar(&o.issuerAddr, "issuer-addr", "127.0.0.1:6390", "listen `address` of the issuer (HTTPS)")
	f.StringVar(&o.identityAddr, "identity-addr", "127.0.0.1:6391", "listen `address` of the managed identity endpoint (HTTP)")
	f.BoolVar(&o.plaintext, "plaintext", false, "serve Redis without TLS, which Azure never does")
	f.BoolVar(&o.refuseHello, "refuse-hello", false, "answer HELLO as an unknown command, as older services do")
	f.Var(&o.delay, "auth-delay", "delay each AUTH and HELLO AUTH")
	// Not --ca-file: the variable of that name is a file that token reads, and
	// must never be one that this command writes.
	f.StringVar(&o.caFile, "write-ca-file", "", "`file` to write the CA's certificate to, PEM (default in the user's cache directory)")
	f.Var(&o.format, "format", "text, json, or env: export lines for a shell")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write the same output to once every address answers; removed at the end")
	f.BoolVar(&o.verbose, "verbose", false, "log connections, tokens and refusals to stderr")
}

func runEmulator(ctx context.Context, s streams, flags *pflag.FlagSet, o *emulatorOptions) error {
	options := emulator.Options{
		Flavor:        emulator.Flavor(o.flavor.value),
		TokenLifetime: o.lifetime.value,
		RefreshIn:     o.refreshIn.value,
		Grace:         o.grace.value,
		AuthDelay:     o.delay.value,
		Plaintext:     o.plaintext,
		RefuseHello:   o.refuseHello,
		RedisAddr:     o.redisAddr,
		IssuerAddr:    o.issuerAddr,
		IdentityAddr:  o.identityAddr,
	}
	for _, name := range []string{"redis-addr", "issuer-addr", "identity-addr"} {
		addr := flags.Lookup(name).Value.String()
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return &usageError{err: fmt.Errorf("%s: %q is not host:port", origin(flags, name), addr), hint: "for example 127.0.0.1:0, where 0 takes a free port"}
		}
	}
	if o.principals != "" {
		principals, err := readPrincipals(o.principals)
		if err != nil {
			return &usageError{err: fmt.Errorf("%s: %w", origin(flags, "principals"), err), hint: "docs/cli.md shows the file's form"}
		}
		options.Principals = principals
	}
	if o.verbose {
		options.Logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	// A file of an earlier run would tell a waiting script that this one is ready.
	if o.readyFile != "" {
		if err := os.Remove(o.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &usageError{err: fmt.Errorf("%s: %w", origin(flags, "ready-file"), err)}
		}
	}
	e, err := emulator.Start(ctx, options)
	if err != nil {
		return explainStart(err, flags)
	}
	defer e.Close()

	caFile, err := writeCA(o.caFile, e)
	if err != nil {
		return fmt.Errorf("write the CA's certificate: %w", err)
	}
	var out bytes.Buffer
	if err := describeEmulator(&out, e, options, o.format.value, caFile); err != nil {
		return err
	}
	if o.readyFile != "" {
		defer os.Remove(o.readyFile)
		if err := writeWhole(o.readyFile, out.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write the ready file: %w", err)
		}
	}
	if _, err := io.Copy(s.out, &out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func explainStart(err error, flags *pflag.FlagSet) error {
	var network *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &hintedError{err: err, hint: "another program has the port; choose another address, port 0 takes a free one (--redis-addr, --issuer-addr, --identity-addr)"}
	case !errors.As(err, &network) && flags.Changed("principals"):
		return &usageError{err: fmt.Errorf("%s: %w", origin(flags, "principals"), err), hint: "docs/cli.md shows the file's form"}
	}
	return err
}

// writeCA writes the CA's certificate to path, by default a file in the user's
// cache directory that is named after the Redis port, so that two emulators
// side by side keep theirs apart.
func writeCA(path string, e *emulator.Emulator) (string, error) {
	if path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		_, port, _ := net.SplitHostPort(e.RedisAddr())
		path = filepath.Join(dir, "entraredis", "emulator-"+port+"-ca.pem")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return path, writeWhole(path, e.CAPEM(), 0o644)
}

// writeWhole writes a file that a reader finds complete or not at all.
func writeWhole(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
