package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

const tokenLong = `Acquire an access token for Redis with a credential and show what Redis will
see of it: the username, the expiry and the claims. The token itself is shown
only with --raw.

With --watch it goes on, as a program with the library does: it refreshes the
token before it expires and prints a line each time (with --raw, the new token),
until SIGINT or SIGTERM, which is its normal end. A refresh that fails is said on
stderr and tried again; the first one has to succeed.

--output-file writes the token to a file as well, for programs that read it from
one: without a newline, for this user alone (mode 0600), and always whole,
because the file is replaced, not changed. It is not removed at the end.

Kinds of credential:
%s.

The secrets of a credential come from a variable (ENTRAREDIS_CLIENT_SECRET,
ENTRAREDIS_CERTIFICATE_PASSWORD, ENTRAREDIS_PASSWORD) or from a file. The kinds
default, environment, workload-identity and managed-identity also read Azure's
own variables (AZURE_TENANT_ID, AZURE_CLIENT_ID, IDENTITY_ENDPOINT and so on).`

const tokenExample = `  # the signed-in user of the Azure CLI
  entraredis token --credential azure-cli

  # a service principal; the secret stays out of the process list
  ENTRAREDIS_CLIENT_SECRET=... entraredis token --credential client-secret \
    --tenant-id 2f0e... --client-id 8a1d...

  # a user-assigned managed identity, for a script
  entraredis token --credential managed-identity --client-id 8a1d... --format json

  # log redis-cli in: REDISCLI_AUTH keeps the token out of the process list
  REDISCLI_AUTH="$(entraredis token --raw)" redis-cli --tls -h HOST -p 6380 --user OBJECT_ID

  # a file that always holds a valid token
  entraredis token --watch --output-file /run/user/1000/redis-token

  # works as well, but every user of this machine can read the token in the process list
  redis-cli --tls -h HOST -p 6380 --user OBJECT_ID --pass "$(entraredis token --raw)"`

type tokenOptions struct {
	credentialOptions
	format     choice
	raw, watch bool
	outputFile string
	configFile string
	wanted     string
}

func tokenCommand(s streams) *cobra.Command {
	o := &tokenOptions{
		credentialOptions: newCredentialOptions(),
		format:            choice{value: "text", allowed: []string{"text", "json"}},
	}
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Acquire a token and show its username, expiry and claims",
		Long:    fmt.Sprintf(tokenLong, wrap(o.kind.allowed, 78)),
		Example: tokenExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runToken(cmd.Context(), s, cmd.Flags(), o)
		},
	}
	o.register(cmd.Flags())
	o.complete(cmd)
	complete(cmd, "format", o.format.allowed)
	return cmd
}

func (o *tokenOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.BoolVar(&o.raw, "raw", false, "print the token and nothing else (wins over --format)")
	f.Var(&o.format, "format", "text or json")
	f.BoolVar(&o.watch, "watch", false, "go on: refresh the token before it expires, and print a line each time")
	f.StringVar(&o.outputFile, "output-file", "", "`file` to write the token to, mode 0600, replaced at each refresh")
	f.StringVar(&o.configFile, configFlag, "", "YAML `file` of the proxy, for settings")
	f.StringVar(&o.wanted, "target", "", "`name` of a target in that file, for the identity it has there")
	o.credentialOptions.register(f)
}

func (o *tokenOptions) useConfig(flags *pflag.FlagSet) error {
	if o.configFile == "" {
		if o.wanted == "" {
			return nil
		}
		return &usageError{err: fmt.Errorf("%s is of no use without --%s", origin(flags, "target"), configFlag), hint: "a token is for every cache of the cloud"}
	}
	entry, err := useConfig(flags, o.configFile, o.wanted)
	if err == nil && o.wanted != "" && entry.Place == "" {
		return &usageError{err: fmt.Errorf("%s: the file has no target %q", origin(flags, "target"), o.wanted), hint: "'entraredis config check' shows the names"}
	}
	return err
}

func runToken(ctx context.Context, s streams, flags *pflag.FlagSet, o *tokenOptions) error {
	if err := o.useConfig(flags); err != nil {
		return err
	}
	if o.watch {
		return watchToken(ctx, s, flags, o)
	}
	source, err := o.source(s, flags, entraredis.Options{})
	if err != nil {
		return err
	}
	defer source.Close()
	token, err := source.Token(ctx)
	if err != nil {
		return err
	}
	if err := o.writeFile(token); err != nil {
		return err
	}
	if o.raw {
		_, err := fmt.Fprintln(s.out, token.Password())
		return err
	}
	claims, err := jwt.Read(token.Password())
	if err != nil {
		return fmt.Errorf("read the claims: %w", err)
	}
	show := showTokenText
	if o.format.value == "json" {
		show = showTokenJSON
	}
	return show(s.out, tokenFacts{token: token, claims: claims, now: time.Now()})
}

func complete(cmd *cobra.Command, flag string, words []string) {
	// The only error is a flag that does not exist, which the help test would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// wrap joins words with commas into lines of at most width.
func wrap(words []string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range words {
		if i > 0 {
			b.WriteString(",")
			if column+len(word)+3 > width {
				b.WriteString("\n")
				column = 0
			} else {
				b.WriteString(" ")
				column += 2
			}
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
