package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
)

const configCheckLong = `Read the settings that "entraredis proxy" with the same arguments would have, and
print what is in force and where it came from: the target, a flag, a variable, a
line of the file, or the default. Each target's credential is built, as far as
that goes without a connection: no token is asked for and nothing listens.

A secret is never shown, only where it stands. Exit 2 if anything is wrong.`

func configCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at the configuration of the proxy",
		Example: "  entraredis config check --config proxy.yaml",
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var o *proxyOptions
	check := &cobra.Command{
		Use:     "check [HOST[:PORT][?SETTING=VALUE&...]]...",
		Short:   "Print the settings in force and where each came from",
		Long:    configCheckLong,
		Example: "  entraredis config check --config proxy.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkConfig(s, loader{streams: s, flags: cmd.Flags(), args: args, file: o.config})
		},
	}
	o = proxyFlags(check)
	cmd.AddCommand(check)
	return cmd
}

func checkConfig(s streams, l loader) error {
	c, err := l.load()
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "process")
	printSettings(out, c.processFlags, nil)
	var wrong []error
	for i, t := range c.targets {
		fmt.Fprintf(out, "\ntarget %s\t%s\t%s\n", t.name, t.addr, t.place)
		printSettings(out, t.flags, func(f *pflag.Flag) string {
			switch {
			case f.Name == "listen" && c.listen[i][0].Network == "tcp":
				return c.listen[i][0].Address // with the port that is this target's
			case f.Name == "listen", f.Name == "unix-mode" && t.unix == "":
				return "" // of no effect
			}
			return f.Value.String()
		})
		printSecrets(out, s, t)
		up, err := t.open(s, slog.New(slog.DiscardHandler), func(entraredis.Event) {})
		if err != nil {
			wrong = append(wrong, fmt.Errorf("target %s: %w", t.name, err))
			fmt.Fprintf(out, "  problem\t%v\t\n", err)
			continue
		}
		up.Source.Close()
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		err := wrong[0]
		hint := ""
		if usage, ok := errors.AsType[*usageError](err); ok {
			hint = usage.hint
		}
		return &usageError{err: err, hint: hint}
	}
	return nil
}

// printSettings prints those that are set, and the defaults that matter.
func printSettings(out io.Writer, flags *pflag.FlagSet, text func(*pflag.Flag) string) {
	flags.VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		if text != nil {
			value = text(f)
		}
		where := "default"
		if f.Changed {
			where = origin(flags, f.Name)
		}
		switch value {
		case "", "false", "[]", "0s", "0":
			if !f.Changed {
				return
			}
		}
		fmt.Fprintf(out, "  %s\t%s\t%s\n", f.Name, value, where)
	})
}

// printSecrets says which secrets are set by a variable, without showing them.
func printSecrets(out io.Writer, s streams, t *target) {
	for _, name := range []string{"proxy-password", "client-secret", "certificate-password", "password"} {
		if s.env(envName(name)) != "" && !flagGiven(t.flags, name+"-file") {
			fmt.Fprintf(out, "  %s\t(set, not shown)\t%s\n", name, envName(name))
		}
	}
}
