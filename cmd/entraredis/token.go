package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/credential"
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
	kind     choice
	format   choice
	raw      bool
	scope    string
	timeout  between
	settings credential.Settings
	cloud    choice
	// Files that hold a secret each, and nothing else.
	clientSecretFile, certificatePasswordFile, passwordFile string
}

func tokenCommand(s streams) *cobra.Command {
	var kinds []string
	for _, k := range credential.Kinds() {
		kinds = append(kinds, string(k))
	}
	o := &tokenOptions{
		kind:    choice{value: "default", allowed: kinds},
		format:  choice{value: "text", allowed: []string{"text", "json"}},
		cloud:   choice{allowed: []string{"public", "china", "usgov"}},
		timeout: between{min: time.Second, max: time.Hour},
	}
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Acquire a token and show its username, expiry and claims",
		Long:    fmt.Sprintf(tokenLong, wrap(kinds, 78)),
		Example: tokenExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runToken(cmd.Context(), s, cmd.Flags(), o)
		},
	}
	o.register(cmd.Flags())
	complete(cmd, "credential", kinds)
	complete(cmd, "format", o.format.allowed)
	complete(cmd, "cloud", o.cloud.allowed)
	return cmd
}

func (o *tokenOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.Var(&o.kind, "credential", "kind of credential")
	f.BoolVar(&o.raw, "raw", false, "print the token and nothing else (wins over --format)")
	f.Var(&o.format, "format", "text or json")
	f.StringVar(&o.scope, "scope", entraredis.DefaultScope, "scope to ask for, `<resource>/.default`")
	f.Var(&o.timeout, "timeout", "bound on the acquisition; 0s means 30s, or 5m where a person has to sign in")

	c := &o.settings
	f.StringVar(&c.TenantID, "tenant-id", "", "tenant, a GUID or a domain")
	f.StringVar(&c.ClientID, "client-id", "", "application, or user-assigned managed identity")
	f.StringVar(&o.clientSecretFile, "client-secret-file", "", "`file` that holds the client secret (or set ENTRAREDIS_CLIENT_SECRET)")
	f.StringVar(&c.CertificatePath, "certificate-path", "", "`file` with certificate and key, PEM or PFX")
	f.StringVar(&o.certificatePasswordFile, "certificate-password-file", "", "`file` that holds the password of the PFX (or set ENTRAREDIS_CERTIFICATE_PASSWORD)")
	f.BoolVar(&c.SendCertificateChain, "send-certificate-chain", false, "send the chain, for subject name and issuer authentication")
	f.StringVar(&c.AssertionFile, "assertion-file", "", "`file` with a federated token or client assertion, read again for each use")
	f.StringVar(&c.ObjectID, "object-id", "", "user-assigned managed identity by object ID")
	f.StringVar(&c.ResourceID, "resource-id", "", "user-assigned managed identity by Azure resource ID")
	f.StringVar(&c.Username, "username", "", "user principal name, for username-password")
	f.StringVar(&o.passwordFile, "password-file", "", "`file` that holds the user's password (or set ENTRAREDIS_PASSWORD)")
	f.StringVar(&c.RedirectURL, "redirect-url", "", "redirect `URL` of the application, for interactive-browser")
	f.StringVar(&c.LoginHint, "login-hint", "", "user name to fill in, for interactive-browser")
	f.Var(&o.cloud, "cloud", "public, china or usgov (default public)")
	f.StringVar(&c.AuthorityHost, "authority-host", "", "issuer's https `URL`, instead of --cloud")
	f.StringVar(&c.CAFile, "ca-file", "", "PEM `file` of a CA to trust for the issuer, beside the system's")
	f.BoolVar(&c.DisableInstanceDiscovery, "disable-instance-discovery", false, "do not ask Microsoft whether the authority is known (private clouds, the emulator)")
	f.StringSliceVar(&c.AdditionallyAllowedTenants, "additionally-allowed-tenants", nil, "other `tenants` the credential may ask, * for any")
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

// bound is the time-out of the acquisition: a person at a browser needs minutes.
func (o *tokenOptions) bound() time.Duration {
	interactive := []string{"device-code", "interactive-browser"}
	switch {
	case o.timeout.value > 0:
		return o.timeout.value
	case slices.Contains(interactive, o.kind.value):
		return 5 * time.Minute
	}
	return 30 * time.Second
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
