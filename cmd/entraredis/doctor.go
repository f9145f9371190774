package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/doctor"
)

const doctorLong = `Walk the way to an authenticated connection step by step, and say which step
fails, what was observed, what it means and what to change:

  host         the name is that of a cache and resolves
  tcp          the cache can be reached from here
  tls          what answers is the cache
  credential   the credential obtains a token
  token        the token is for Redis and valid now
  auth         the cache accepts the identity
  permissions  what the identity may do
  topology     every node can be reached and verified
  endurance    a connection outlives its token (with --watch)

The port is that of the product the host name belongs to, if none is given. No
key is changed, unless --write-probe is given: that writes, reads and deletes
one of its own. No secret is ever shown; --redact hides names, addresses and IDs
as well, for a ticket.

In a terminal the checks are drawn as they run; otherwise (or with --plain,
NO_COLOR or TERM=dumb) there is a line for each thing said.

Exit codes, by the first check that fails: 3 credential, token; 4 host, tcp,
tls, auth; 5 permissions, topology, endurance. Warnings alone are exit code 0.`

const doctorExample = `  # with whatever credential there is here
  entraredis doctor example.redis.cache.windows.net

  # as the program will: a user-assigned managed identity
  entraredis doctor example.westeurope.redis.azure.net --credential managed-identity --client-id 8a1d...

  # is this the username the program should use?
  entraredis doctor example.redis.cache.windows.net --redis-username 8a1d...

  # for a ticket
  entraredis doctor example.redis.cache.windows.net --redact --verbose --plain

  # for a machine
  entraredis doctor example.redis.cache.windows.net --json | jq -r .first_failure

  # stay connected across real refreshes
  entraredis doctor example.redis.cache.windows.net --watch 95m`

type doctorOptions struct {
	cacheOptions
	json, redact, writeProbe, verbose, plain bool
	key                                      string
	watch                                    between
}

func doctorCommand(s streams) *cobra.Command {
	o := &doctorOptions{
		cacheOptions: newCacheOptions(),
		watch:        between{max: 7 * 24 * time.Hour},
	}
	o.connectTimeout.value = 5 * time.Second
	cmd := &cobra.Command{
		Use:     "doctor HOST[:PORT]",
		Short:   "Find out why a cache cannot be used with an Entra token",
		Long:    doctorLong,
		Example: doctorExample,
		Args:    oneHost,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDoctor(cmd.Context(), s, cmd.Flags(), o, args[0])
		},
	}
	o.register(cmd.Flags())
	o.complete(cmd)
	return cmd
}

func oneHost(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return &usageError{err: fmt.Errorf("%s needs one HOST[:PORT], got %d arguments", cmd.CommandPath(), len(args)),
		hint: "for example: entraredis doctor example.redis.cache.windows.net"}
}

func (o *doctorOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.redact, "redact", false, "put placeholders in the place of names, addresses and IDs")
	f.BoolVar(&o.verbose, "verbose", false, "show all that was seen, not only of checks with findings")
	f.BoolVar(&o.plain, "plain", false, "write plain lines even to a terminal")
	f.BoolVar(&o.writeProbe, "write-probe", false, "write, read and delete a key of its own (entraredis:doctor:...)")
	f.StringVar(&o.key, "key", "", "`key` that permissions are tried on, for policies with key patterns; it is not changed")
	f.Var(&o.watch, "watch", "hold a connection this long, across refreshes and re-AUTHs")
	o.registerConfig(f)
	o.cacheOptions.register(f)
	f.Lookup("connect-timeout").Usage = "bound on TCP and on TLS, each"
}

func runDoctor(ctx context.Context, s streams, flags *pflag.FlagSet, o *doctorOptions, addr string) error {
	addr, err := o.target(flags, addr)
	if err != nil {
		return err
	}
	cred, err := o.credential(s, flags)
	if err != nil {
		return err
	}
	options := doctor.Options{
		Addr: addr, Credential: cred, CredentialKind: o.kind.value, Scope: o.scope, Username: o.redisUsername,
		TenantID: o.settings.TenantID, ServerName: o.serverName, Plaintext: o.plaintext, IssuerURL: o.issuerURL(s),
		Key: o.key, WriteProbe: o.writeProbe, Watch: o.watch.value, Redact: o.redact,
		ConnectTimeout: o.connectTimeout.value, TokenTimeout: o.bound(), AuthTimeout: o.authTimeout.value,
	}
	if options.TLSConfig, err = o.tls(flags); err != nil {
		return err
	}
	view := newDoctorView(s, o)
	options.Progress = view.progress
	report, err := doctor.Run(ctx, options)
	view.stop()
	if wrong, ok := errors.AsType[*doctor.TargetError](err); ok {
		return &usageError{err: wrong, hint: "for example: entraredis doctor example.redis.cache.windows.net"}
	}
	if err != nil { // of the options, all but one checked above
		return &usageError{
			err:  fmt.Errorf("%s: %s", origin(flags, "scope"), strings.TrimPrefix(err.Error(), "entraredis: ")),
			hint: "leave it out for " + entraredis.DefaultScope,
		}
	}
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if err := view.conclude(report); err != nil {
		return err
	}
	if code := report.ExitCode(); code != exitOK {
		return exitError{code}
	}
	return nil
}

// issuerURL is the authority that the credential asks, as far as the settings
// tell.
func (o *doctorOptions) issuerURL(s streams) string {
	if o.settings.AuthorityHost != "" {
		return o.settings.AuthorityHost
	}
	switch o.cloud.value {
	case "china":
		return cloud.AzureChina.ActiveDirectoryAuthorityHost
	case "usgov":
		return cloud.AzureGovernment.ActiveDirectoryAuthorityHost
	case "":
		if host := s.env("AZURE_AUTHORITY_HOST"); host != "" {
			return host
		}
	}
	return cloud.AzurePublic.ActiveDirectoryAuthorityHost
}

// doctorJSON is the report for machines.
type doctorJSON struct {
	*doctor.Report
	ExitCode int `json:"exit_code"`
}

func (v *doctorView) conclude(r *doctor.Report) error {
	if v.json {
		enc := json.NewEncoder(v.out)
		enc.SetEscapeHTML(false) // placeholders are for people to read
		enc.SetIndent("", "  ")
		return enc.Encode(doctorJSON{r, r.ExitCode()})
	}
	_, err := fmt.Fprintf(v.out, "\n%s\n", r.Conclusion())
	return err
}
