package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `entraredis keeps Redis connections authenticated with Microsoft Entra tokens.

demo and emulator need no Azure subscription: they run, on this machine, an Entra
issuer and a Redis that refuses what Azure refuses. token shows what a credential
of yours obtains, doctor where the way from it to a cache ends and why. cli talks
to a cache, exec runs a program that finds it as an ordinary Redis, env prints what
a client needs. proxy lets any Redis client, in any language, use a cache that takes
nothing but tokens.

Settings: a flag wins over its ENTRAREDIS_ variable, which wins over a file, then the
default. Every flag names its variable in its help; an empty variable counts
as unset. Secrets have no flag, because a process list shows flags: they come
from a variable or a file.

Exit codes:
  0    done
  1    the job failed (demo: a command of ours failed or a connection of ours
       was dropped, or the plain client was never dropped; emulator: could not start;
       cli: a reply was an error; proxy: no target could begin; wait: not ready in
       time; shutdown: refused)
  2    usage: unknown command or flag, bad value, missing or contradictory setting
  3    no token: the credential or the issuer refused, or could not be reached
  4    Redis refused the credential or could not be reached
  5    doctor: authenticated, but a check behind that failed
  130  ended by SIGINT (Ctrl-C), 143 ended by SIGTERM, before the job was done
       (emulator, proxy, token --watch: either signal is the normal end, exit 0)

exec ends with the exit code of the program it ran; 126 and 127 if that cannot be
run or is not found.`

const rootExample = `  # watch tokens expire and connections live on
  entraredis demo

  # an Entra-only Redis on this machine, for any program in any language
  entraredis emulator --format env --ready-file emulator.env &
  . ./emulator.env

  # who am I for Redis, and until when
  entraredis token --credential azure-cli

  # why does it say WRONGPASS
  entraredis doctor example.redis.cache.windows.net

  # a prompt that stays logged in
  entraredis cli example.redis.cache.windows.net

  # a program that knows nothing of Entra
  entraredis exec --target example.redis.cache.windows.net -- ./worker

  # any client, without a password, on 127.0.0.1:6379
  entraredis proxy example.redis.cache.windows.net --credential managed-identity

  # log redis-cli in; REDISCLI_AUTH keeps the token out of the process list
  REDISCLI_AUTH="$(entraredis token --raw)" redis-cli --tls -h HOST -p 6380 --user OBJECT_ID`

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "entraredis",
		Short:         "Redis connections that outlive their Microsoft Entra token",
		Long:          rootLong,
		Example:       rootExample,
		Version:       readBuild().version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return applyEnv(cmd.Flags(), s.env)
		},
	}
	root.SetVersionTemplate("entraredis {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: fmt.Sprintf("see '%s --help'", cmd.CommandPath())}
	})
	root.AddCommand(cliCommand(s), configCommand(s), demoCommand(s), doctorCommand(s), emulatorCommand(s), envCommand(s), execCommand(s),
		proxyCommand(s), shutdownCommand(s), tokenCommand(s), versionCommand(s), waitCommand(s))
	documentAllEnv(root)
	root.SetHelpFunc(helpWithSurface(root.HelpFunc()))
	return root
}

// helpWithSurface lets the help of the root command show the flags of every
// subcommand too, so that one screen answers "what can be set".
func helpWithSurface(help func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		if cmd.HasParent() {
			return
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.HasLocalFlags() {
				fmt.Fprintf(cmd.OutOrStdout(), "\nFlags of %s:\n%s", sub.CommandPath(), sub.LocalFlags().FlagUsages())
			}
		}
	}
}

// noArgs is cobra.NoArgs as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{
		err:  fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]),
		hint: fmt.Sprintf("see '%s --help'", cmd.CommandPath()),
	}
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see 'entraredis --help'"
	// cobra sets its default distance only on the path that this function replaces.
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{err: fmt.Errorf("unknown command %q", args[0]), hint: hint}
}
