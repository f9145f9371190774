package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const proxyLong = `Let any Redis client use caches that take nothing but Microsoft Entra tokens: it
connects to a local address, without TLS and without a password, and is on the
cache, over TLS, authenticated, for as long as it likes.

Each target is HOST[:PORT], with settings of its own behind a question mark: the
names are those of the flags, the values percent-encoded. The port is that of the
product the host name belongs to, if none is given. The targets listen on
127.0.0.1:6379 and the ports behind it, unless told otherwise.

  entraredis proxy 'HOST?listen=127.0.0.1:6380&credential=azure-cli' 'HOST2?unix=/run/r2.sock'

--config reads settings and targets from YAML, under the same names. A setting in
a target on the command line wins over the flag, which wins over its variable,
which wins over the file's target, which wins over the top of the file; targets
on the command line take the place of the file's. "entraredis config check" shows
what comes out. The file is read again on SIGHUP and when it changes; connections
of targets that it changes nothing for are not touched, and a file that is wrong
changes nothing at all. A target whose new settings cannot be had (a password file
that is away, a certificate that is no pair) goes on with its old ones.

Whoever reaches a listener acts as its identity. Beyond the loopback interface it
therefore needs both a password (--proxy-password-file or
ENTRAREDIS_PROXY_PASSWORD, which clients send with AUTH) and TLS (--tls-cert,
--tls-key), or --allow-remote.

A target that cannot begin (address in use, wrong credential settings, an owner of
its socket that does not exist) is tried again and disturbs no other. Without any
that can, the program ends.

SIGTERM or SIGINT: no more clients; those that are connected are closed once they
have been answered and quiet, all of them when --drain-timeout is over; exit 0.
A second signal ends the process at once.`

const proxyExample = `  # the identity of this Azure resource, on 127.0.0.1:6379
  entraredis proxy example.redis.cache.windows.net --credential managed-identity

  # two caches, each with its identity
  entraredis proxy 'one.redis.cache.windows.net?listen=127.0.0.1:6379&client-id=8a1d...' \
    'two.westeurope.redis.azure.net?unix=/run/two.sock&unix-mode=0660&credential=azure-cli'

  # from a file
  entraredis proxy --config /etc/entraredis/proxy.yaml

  # in a job: wait until it is ready, end it when the work is done
  entraredis proxy example.redis.cache.windows.net --allow-shutdown &
  entraredis wait && ./work; entraredis shutdown`

const defaultAdmin = "127.0.0.1:9379"

// processOptions are the settings of proxy that no target has of its own.
type processOptions struct {
	admin                             string
	allowShutdown, backendCheck, prof bool
	drain                             between
	logFormat, logLevel               choice
}

func newProcessOptions() *processOptions {
	return &processOptions{
		drain:     between{value: 10 * time.Second, max: time.Hour},
		logFormat: choice{value: "text", allowed: []string{"text", "json"}},
		logLevel:  choice{value: "info", allowed: []string{"debug", "info", "warn", "error"}},
	}
}

func (o *processOptions) register(f *pflag.FlagSet) {
	f.StringVar(&o.admin, "admin", defaultAdmin, "`address` of probes, metrics and the status page; off for none")
	f.BoolVar(&o.allowShutdown, "allow-shutdown", false, "let POST /quitquitquit on the admin address end the program")
	f.BoolVar(&o.backendCheck, "backend-check", false, "have /readiness open a connection to each cache")
	f.BoolVar(&o.prof, "pprof", false, "serve /debug/pprof/ on the admin address")
	f.Var(&o.drain, "drain-timeout", "how long clients may take to leave at the end")
	f.Var(&o.logFormat, "log-format", "text or json")
	f.Var(&o.logLevel, "log-level", "debug (every client that comes and goes), info, warn or error")
}

func (o *processOptions) level() slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(o.logLevel.value)) // one of the allowed words
	return l
}

// proxyOptions are the flags as they stand on the command line: of the process,
// and for all targets.
type proxyOptions struct {
	process *processOptions
	target  *targetOptions
	config  string
}

// proxyFlags registers them for a command that reads a configuration.
func proxyFlags(cmd *cobra.Command) *proxyOptions {
	o := &proxyOptions{process: newProcessOptions(), target: newTargetOptions()}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.config, configFlag, "", "YAML `file` with settings and targets")
	o.target.registerLocal(f)
	o.process.register(f)
	o.target.cacheOptions.register(f)
	o.target.complete(cmd)
	complete(cmd, "log-format", o.process.logFormat.allowed)
	complete(cmd, "log-level", o.process.logLevel.allowed)
	return o
}

func proxyCommand(s streams) *cobra.Command {
	var o *proxyOptions
	cmd := &cobra.Command{
		Use:     "proxy [HOST[:PORT][?SETTING=VALUE&...]]...",
		Short:   "Let any Redis client use an Entra-only cache",
		Long:    proxyLong,
		Example: proxyExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runProxy(cmd.Context(), s, loader{streams: s, flags: cmd.Flags(), args: args, file: o.config})
		},
	}
	o = proxyFlags(cmd)
	return cmd
}

// errNoTarget is a usage error of its own, since most who try the command first
// see it.
func errNoTarget() error {
	return &usageError{err: fmt.Errorf("no target"), hint: "for example: entraredis proxy example.redis.cache.windows.net; or --config FILE"}
}
