package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/credential"
)

// credentialOptions are the flags of every command that needs a credential.
type credentialOptions struct {
	kind     choice
	scope    string
	timeout  between
	settings credential.Settings
	cloud    choice
	// Files that hold a secret each, and nothing else.
	clientSecretFile, certificatePasswordFile, passwordFile string
}

func newCredentialOptions() credentialOptions {
	var kinds []string
	for _, k := range credential.Kinds() {
		kinds = append(kinds, string(k))
	}
	return credentialOptions{
		kind:    choice{value: "default", allowed: kinds},
		cloud:   choice{allowed: []string{"public", "china", "usgov"}},
		timeout: between{min: time.Second, max: time.Hour},
	}
}

func (o *credentialOptions) register(f *pflag.FlagSet) {
	f.Var(&o.kind, "credential", "kind of credential")
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

func (o *credentialOptions) complete(cmd *cobra.Command) {
	complete(cmd, "credential", o.kind.allowed)
	complete(cmd, "cloud", o.cloud.allowed)
}

// bound is the time-out of the acquisition: a person at a browser needs minutes.
func (o *credentialOptions) bound() time.Duration {
	interactive := []string{"device-code", "interactive-browser"}
	switch {
	case o.timeout.value > 0:
		return o.timeout.value
	case slices.Contains(interactive, o.kind.value):
		return 5 * time.Minute
	}
	return 30 * time.Second
}

func (o *credentialOptions) credential(s streams, flags *pflag.FlagSet) (azcore.TokenCredential, error) {
	settings := o.settings
	settings.Cloud = o.cloud.value
	for _, secret := range []struct {
		name, path string
		into       *string
	}{
		{"client-secret", o.clientSecretFile, &settings.ClientSecret},
		{"certificate-password", o.certificatePasswordFile, &settings.CertificatePassword},
		{"password", o.passwordFile, &settings.Password},
	} {
		value, err := readSecret(s, flags, secret.name, secret.path)
		if err != nil {
			return nil, err
		}
		*secret.into = value
	}
	// On stderr, because stdout may be captured for the token.
	settings.DeviceCodePrompt = func(_ context.Context, _, _, message string) error {
		_, err := fmt.Fprintln(s.err, message)
		return err
	}
	for {
		cred, err := credential.New(credential.Kind(o.kind.value), settings)
		var wrong *credential.SettingError
		if !errors.As(err, &wrong) {
			return cred, err
		}
		if !dropUnused(flags, &settings, wrong) {
			return nil, settingUsage(flags, wrong)
		}
	}
}

// dropUnused clears a setting that the kind has no use for, if it came from a
// variable: those are set for a whole shell, whatever kind is tried in it. On
// the command line the same setting is a mistake worth an error.
func dropUnused(flags *pflag.FlagSet, settings *credential.Settings, wrong *credential.SettingError) bool {
	name := settingFlag(wrong)
	if !wrong.Unused || flagGiven(flags, name) {
		return false
	}
	field := reflect.ValueOf(settings).Elem().FieldByName(wrong.Setting)
	if !field.IsValid() || field.IsZero() {
		return false
	}
	field.SetZero()
	return true
}

// flagGiven reports whether the flag was set for this job and no other: on the
// command line, or as a target's own.
func flagGiven(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	if f == nil || !f.Changed {
		return false
	}
	_, ok := f.Annotations[shared]
	return !ok
}

// settingFlag is the flag for the setting that is wrong: a secret's is the one
// that names its file. It is "" for an environment variable of Azure's own.
func settingFlag(wrong *credential.SettingError) string {
	switch name := wrong.Flag(); name {
	case "client-secret", "certificate-password", "password":
		return name + "-file"
	case "assertion":
		return "assertion-file"
	default:
		return name
	}
}

// settingUsage says what is wrong in the words of the command line.
func settingUsage(flags *pflag.FlagSet, wrong *credential.SettingError) error {
	name := settingFlag(wrong)
	secret := name != wrong.Flag() && name != "assertion-file"
	switch {
	case flags.Lookup(name) == nil:
		name = wrong.Setting
	case secret && !flagGiven(flags, name):
		name = envName(wrong.Flag()) + " (or --" + name + ")"
	default:
		name = origin(flags, name)
	}
	err := fmt.Errorf("%s credential: %s %s", wrong.Kind, name, wrong.Problem)
	if wrong.Err != nil {
		err = fmt.Errorf("%w: %w", err, wrong.Err)
	}
	return &usageError{err: err, hint: wrong.Remedy}
}

// readSecret takes a secret from the file that its flag names or from its
// variable; the flag wins.
func readSecret(s streams, flags *pflag.FlagSet, name, path string) (string, error) {
	if path == "" || (!flagGiven(flags, name+"-file") && s.env(envName(name)) != "") {
		return s.env(envName(name)), nil
	}
	const hint = "name a file that holds the secret alone"
	data, err := os.ReadFile(path)
	if err != nil {
		return "", &usageError{err: fmt.Errorf("%s: %w", origin(flags, name+"-file"), err), hint: hint}
	}
	// Editors and echo end a file with a newline that is no part of the secret.
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return "", &usageError{err: fmt.Errorf("%s: %s is empty", origin(flags, name+"-file"), path), hint: hint}
	}
	return secret, nil
}
