package credential

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Settings describes a credential. Each kind uses some of the fields (see
// docs/credentials.md for the table); one that is set although the kind has no
// use for it is an error, since it would otherwise be ignored in silence. The
// functions DeviceCodePrompt, OpenBrowser and Transport are the exception:
// they may always be set.
//
// The zero value is complete for Default, Environment, ManagedIdentity,
// AzureCLI, AzureDeveloperCLI, DeviceCode and InteractiveBrowser.
// Printing and logging Settings leaves out secrets.
type Settings struct {
	// TenantID is the directory: its ID or one of its domain names.
	TenantID string
	// ClientID is the application (client) ID, or that of a user-assigned
	// managed identity.
	ClientID string
	// ClientSecret is the value of an application's secret, not its ID.
	ClientSecret string
	// CertificatePath is a PEM or PFX file with the application's certificate
	// and its RSA private key. It is read once, by New.
	CertificatePath string
	// CertificatePassword decrypts a PFX file or an encrypted PEM key.
	CertificatePassword string
	// SendCertificateChain sends the chain with each request, as subject
	// name and issuer authentication needs.
	SendCertificateChain bool
	// AssertionFile holds a signed assertion or Kubernetes service account
	// token. It is read again when a token is needed: each time for
	// ClientAssertion, at most every ten minutes for WorkloadIdentity.
	AssertionFile string
	// Assertion returns a signed assertion; an alternative to AssertionFile.
	// It must be safe for concurrent use.
	Assertion func(context.Context) (string, error)
	// ObjectID selects a user-assigned managed identity by its object ID.
	ObjectID string
	// ResourceID selects a user-assigned managed identity by its ARM ID,
	// "/subscriptions/...".
	ResourceID string
	// Username and Password are those of a user in TenantID.
	Username, Password string
	// RedirectURL is an http://localhost URL registered for ClientID; only its
	// port matters. Empty means any free port.
	RedirectURL string
	// LoginHint fills in the account name in the sign-in page.
	LoginHint string
	// DeviceCodePrompt tells the user where to enter which code; message says
	// both. Nil prints the message to standard error.
	DeviceCodePrompt func(ctx context.Context, userCode, verificationURL, message string) error
	// OpenBrowser shows a sign-in page to the user. Nil starts the system's
	// browser.
	OpenBrowser func(url string) error
	// Cloud is "public", "china" or "usgov". Empty means the authority of the
	// environment variable AZURE_AUTHORITY_HOST, else "public".
	Cloud string
	// AuthorityHost is the https URL of another authority, such as an
	// emulator or Azure Stack. It excludes Cloud.
	AuthorityHost string
	// CAFile is a PEM file of certificate authorities that are trusted for
	// requests to the authority, beside those of the system.
	CAFile string
	// DisableInstanceDiscovery stops the request to login.microsoftonline.com
	// that validates the authority. New also disables it by itself for every
	// authority that is not one of Microsoft's public ones.
	DisableInstanceDiscovery bool
	// AdditionallyAllowedTenants lists tenants beside TenantID that a token
	// may be requested for; "*" allows all.
	AdditionallyAllowedTenants []string
	// Transport sends the HTTP requests. Nil means a client of the package's
	// own. It excludes CAFile.
	Transport policy.Transporter
}

// secrets lists the fields that are never shown.
var secrets = []string{"ClientSecret", "CertificatePassword", "Password"}

// alwaysAllowed lists the functions that a program may set without regard to
// the kind its user has chosen.
var alwaysAllowed = []string{"DeviceCodePrompt", "OpenBrowser", "Transport"}

// given returns the names of the fields that are set, in order.
func (s Settings) given() []string {
	var names []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

func (s Settings) has(name string) bool { return !reflect.ValueOf(s).FieldByName(name).IsZero() }

// shown returns a field's value for people: secrets redacted, functions
// reduced to the fact that they are set.
func (s Settings) shown(name string) string {
	v := reflect.ValueOf(s).FieldByName(name)
	switch {
	case slices.Contains(secrets, name):
		return "[redacted]"
	case v.Kind() == reflect.Func || v.Kind() == reflect.Interface:
		return "[set]"
	default:
		return fmt.Sprintf("%q", fmt.Sprint(v.Interface()))
	}
}

// String returns the settings that are given, without the secrets.
func (s Settings) String() string {
	parts := s.given()
	for i, name := range parts {
		parts[i] = name + ":" + s.shown(name)
	}
	return "credential.Settings{" + strings.Join(parts, ", ") + "}"
}

// GoString is String.
func (s Settings) GoString() string { return s.String() }

// Format writes String for every verb, so that none shows a secret.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns the settings that are given as a group, without the secrets.
func (s Settings) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, name := range s.given() {
		attrs = append(attrs, slog.String(name, strings.Trim(s.shown(name), `"`)))
	}
	return slog.GroupValue(attrs...)
}
