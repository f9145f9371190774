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

  # works as well, but every user of this machine can read the token in the process list
  redis-cli --tls -h HOST -p 6380 --user OBJECT_ID --pass "$(entraredis token --raw)"`

type tokenOptions struct {
	credentialOptions
	format choice
	raw    bool
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
	o.credentialOptions.register(f)
}

func runToken(ctx context.Context, s streams, flags *pflag.FlagSet, o *tokenOptions) error {
	cred, err := o.credential(s, flags)
	if err != nil {
		return err
	}
	source, err := entraredis.New(cred, &entraredis.Options{Scope: o.scope, RequestTimeout: o.bound()})
	if err != nil {
		return &usageError{
			err:  fmt.Errorf("%s: %s", origin(flags, "scope"), strings.TrimPrefix(err.Error(), "entraredis: ")),
			hint: "leave it out for " + entraredis.DefaultScope,
		}
	}
	defer source.Close()
	token, err := source.Token(ctx)
	if err != nil {
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
