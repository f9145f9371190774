package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis/credential"
)

func (o *tokenOptions) credential(s streams, flags *pflag.FlagSet) (azcore.TokenCredential, error) {
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

// flagGiven reports whether the flag stood on the command line.
func flagGiven(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && f.Changed && origin(flags, name) == "--"+name
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
