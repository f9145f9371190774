package emulator

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/issuer"
)

// The built-in access policies of Azure Cache for Redis.
const (
	PolicyDataOwner       = "Data Owner"
	PolicyDataContributor = "Data Contributor"
	PolicyDataReader      = "Data Reader"
)

// PrincipalKind says how a principal obtains tokens.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalUser            PrincipalKind = issuer.KindUser
	PrincipalApp             PrincipalKind = issuer.KindApp
	PrincipalManagedIdentity PrincipalKind = issuer.KindManagedIdentity
)

// Principal is an identity of the emulated tenant. Name and ObjectID are
// required; the other fields are what its kind signs in with.
type Principal struct {
	// Name is what the emulator's own methods call it.
	Name string

	// ObjectID is its oid claim and its user name on Redis.
	ObjectID string

	// ClientID is the application ID of an app or a managed identity.
	ClientID string

	// ClientSecret is an app's secret; "" = it has none.
	ClientSecret string

	Kind PrincipalKind

	// UPN and Password are what a user signs in with; without a password the
	// user has only the browser and the device code.
	UPN, Password string

	// ResourceID is the Azure resource of a managed identity. One of type
	// Microsoft.ManagedIdentity/userAssignedIdentities makes it user-assigned;
	// any other makes it the system-assigned identity.
	ResourceID string

	// Certificate is what an app signs its assertions with; nil = none.
	Certificate *x509.Certificate

	// FederatedIssuer, FederatedSubject and FederatedKey (of the issuer; RSA
	// or P-256) make a federated identity credential: an app or a user-assigned
	// managed identity with one obtains tokens for assertions of that issuer.
	FederatedIssuer, FederatedSubject string
	FederatedKey                      crypto.PublicKey

	// Policy is the access policy assigned to it: a built-in one by name, or a
	// rule string such as "+@read ~app:*". "" = none: it obtains tokens, and
	// Redis refuses them.
	Policy string

	// TokenLifetime goes before that of the options; 0 = those.
	TokenLifetime time.Duration
}

// IDs and secrets of [DefaultPrincipals]. None is of any value outside an
// emulator.
const (
	DefaultTenantID = "11111111-2222-4333-8444-555555555555"

	AppObjectID     = "a0000000-0000-4000-8000-000000000001"
	AppClientID     = "c0000000-0000-4000-8000-000000000001"
	AppClientSecret = "emulated-client-secret"

	SystemIdentityObjectID   = "a0000000-0000-4000-8000-000000000002"
	SystemIdentityClientID   = "c0000000-0000-4000-8000-000000000002"
	SystemIdentityResourceID = "/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups/emulated/providers/Microsoft.Compute/virtualMachines/emulated"

	UserIdentityObjectID   = "a0000000-0000-4000-8000-000000000003"
	UserIdentityClientID   = "c0000000-0000-4000-8000-000000000003"
	UserIdentityResourceID = "/subscriptions/00000000-0000-4000-8000-000000000000/resourcegroups/emulated/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi-user"

	UserObjectID = "a0000000-0000-4000-8000-000000000004"
	UserUPN      = "ada@entraredis.test"
	UserPassword = "emulated-password"

	ReaderObjectID     = "a0000000-0000-4000-8000-000000000005"
	ReaderClientID     = "c0000000-0000-4000-8000-000000000005"
	ReaderClientSecret = "emulated-reader-secret"

	UnassignedObjectID     = "a0000000-0000-4000-8000-000000000006"
	UnassignedClientID     = "c0000000-0000-4000-8000-000000000006"
	UnassignedClientSecret = "emulated-unassigned-secret"
)

// DefaultPrincipals returns a tenant with one of each: the apps "app" (Data
// Owner), "reader" (Data Reader) and "unassigned" (no access policy), the
// system-assigned managed identity "mi" and the user-assigned "mi-user" (Data
// Contributor), and the user "ada" (Data Owner).
func DefaultPrincipals() []Principal {
	return []Principal{
		{Name: "app", Kind: PrincipalApp, ObjectID: AppObjectID, ClientID: AppClientID, ClientSecret: AppClientSecret, Policy: PolicyDataOwner},
		{Name: "mi", Kind: PrincipalManagedIdentity, ObjectID: SystemIdentityObjectID, ClientID: SystemIdentityClientID, ResourceID: SystemIdentityResourceID, Policy: PolicyDataContributor},
		{Name: "mi-user", Kind: PrincipalManagedIdentity, ObjectID: UserIdentityObjectID, ClientID: UserIdentityClientID, ResourceID: UserIdentityResourceID, Policy: PolicyDataContributor},
		{Name: "ada", Kind: PrincipalUser, ObjectID: UserObjectID, UPN: UserUPN, Password: UserPassword, Policy: PolicyDataOwner},
		{Name: "reader", Kind: PrincipalApp, ObjectID: ReaderObjectID, ClientID: ReaderClientID, ClientSecret: ReaderClientSecret, Policy: PolicyDataReader},
		{Name: "unassigned", Kind: PrincipalApp, ObjectID: UnassignedObjectID, ClientID: UnassignedClientID, ClientSecret: UnassignedClientSecret},
	}
}

// forIssuer returns the principals as the issuer knows them: it has nothing to
// do with access policies.
func forIssuer(principals []Principal) []issuer.Principal {
	out := make([]issuer.Principal, len(principals))
	for i, p := range principals {
		out[i] = issuer.Principal{
			Name: p.Name, Kind: string(p.Kind), ObjectID: p.ObjectID, ClientID: p.ClientID, ClientSecret: p.ClientSecret,
			UPN: p.UPN, Password: p.Password, ResourceID: p.ResourceID, Certificate: p.Certificate,
			FederatedIssuer: p.FederatedIssuer, FederatedSubject: p.FederatedSubject, FederatedKey: p.FederatedKey,
			TokenLifetime: p.TokenLifetime,
		}
	}
	return out
}
