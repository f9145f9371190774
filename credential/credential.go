// Package credential turns the name of a credential and a few settings into an
// [azcore.TokenCredential] of the Azure Identity module (azidentity).
//
// A program that already has a TokenCredential needs nothing from here. The
// package is for programs whose credential is chosen by configuration: it
// checks the settings, and says which one is missing, contradictory or
// unusable, before anything goes over the network.
package credential

import (
	"errors"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Kind names a way to obtain access tokens. Its value is what a user writes in
// a flag or a configuration file.
type Kind string

// The kinds that New knows.
const (
	Default            Kind = "default"             // DefaultAzureCredential: the first of several that works here
	Environment        Kind = "environment"         // a service principal or user described by AZURE_* variables
	WorkloadIdentity   Kind = "workload-identity"   // a Kubernetes service account federated with an application or managed identity
	ManagedIdentity    Kind = "managed-identity"    // the identity Azure gives the machine, container or function
	ClientSecret       Kind = "client-secret"       // an application with a secret
	ClientCertificate  Kind = "client-certificate"  // an application with a certificate
	ClientAssertion    Kind = "client-assertion"    // an application with a signed assertion of another issuer
	UsernamePassword   Kind = "username-password"   // a user's password; deprecated by Microsoft, fails where multifactor authentication is required
	AzureCLI           Kind = "azure-cli"           // whoever ran "az login"
	AzureDeveloperCLI  Kind = "azure-developer-cli" // whoever ran "azd auth login"
	DeviceCode         Kind = "device-code"         // a user who enters a code in a browser on any device
	InteractiveBrowser Kind = "interactive-browser" // a user who signs in with the browser of this machine
)

// kinds is the order in which help texts show the kinds.
var kinds = []Kind{
	Default, Environment, WorkloadIdentity, ManagedIdentity, ClientSecret, ClientCertificate, ClientAssertion,
	UsernamePassword, AzureCLI, AzureDeveloperCLI, DeviceCode, InteractiveBrowser,
}

// Kinds returns every kind New accepts, in a fixed order fit for help texts.
// The caller may change the slice.
func Kinds() []Kind { return slices.Clone(kinds) }

// New returns the credential of the given kind. It reads the files that
// settings name, but asks no issuer for anything: a wrong secret is known only
// when a token is requested.
//
// A missing, contradictory or unusable setting gives a [*SettingError].
// The credential is safe for concurrent use and holds nothing that must be
// closed.
func New(kind Kind, settings Settings) (azcore.TokenCredential, error) {
	build := builder(kind)
	if build == nil {
		return nil, unknownKind(kind)
	}
	err := check(kind, settings)
	if err != nil {
		return nil, named(err, kind)
	}
	cred, err := build(settings)
	if err != nil {
		return nil, named(err, kind)
	}
	return cred, nil
}

// builder returns the constructor of a kind, or nil. The settings must have
// passed check.
func builder(kind Kind) func(Settings) (azcore.TokenCredential, error) {
	switch kind {
	case Default:
		return newDefault
	case Environment:
		return newEnvironment
	case WorkloadIdentity:
		return newWorkloadIdentity
	case ManagedIdentity:
		return newManagedIdentity
	case ClientSecret:
		return newClientSecret
	case ClientCertificate:
		return newClientCertificate
	case ClientAssertion:
		return newClientAssertion
	case UsernamePassword:
		return newUsernamePassword
	case AzureCLI:
		return newAzureCLI
	case AzureDeveloperCLI:
		return newAzureDeveloperCLI
	case DeviceCode:
		return newDeviceCode
	case InteractiveBrowser:
		return newInteractiveBrowser
	}
	return nil
}

func unknownKind(kind Kind) error {
	e := &SettingError{Setting: "Kind", Problem: "is not set", Remedy: "choose one of " + joinKinds(kinds)}
	if kind != "" {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = string(k)
		}
		e.Problem = quoted(string(kind)) + " is not known"
		e.Remedy = suggest(string(kind), names) + e.Remedy
	}
	return e
}

// named fills in the kind, which the inner functions need not carry around.
func named(err error, kind Kind) error {
	var se *SettingError
	if errors.As(err, &se) && se.Kind == "" {
		se.Kind = kind
	}
	return err
}

func joinKinds(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range slices.Sorted(slices.Values(kinds)) {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}
