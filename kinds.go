package entraredis

// Kind says what went wrong, for callers that branch, count or advise. Each
// has a section in docs/errors.md; see [Kind.Anchor].
type Kind string

// The kinds. The comment says whose hands mend it.
const (
	KindUnknown                    Kind = "unknown"
	KindWrongUsername              Kind = "wrong-username"               // configuration: the username is not the token's object ID
	KindNotAssigned                Kind = "not-assigned"                 // cache: identity without access policy, or Entra authentication off
	KindNoPermission               Kind = "no-permission"                // cache: authenticated, but the access policy lacks the command or key
	KindNotAuthenticated           Kind = "not-authenticated"            // program: a command before AUTH
	KindManagedIdentityUnavailable Kind = "managed-identity-unavailable" // environment: no managed identity here
	KindWrongAudience              Kind = "wrong-audience"               // configuration: the scope is not that of Redis
	KindWrongTenant                Kind = "wrong-tenant"                 // configuration: tenant or cloud
	KindExpired                    Kind = "expired"                      // passing, once a new token can be had
	KindClockSkew                  Kind = "clock-skew"                   // machine: its clock
	KindIssuerUnreachable          Kind = "issuer-unreachable"           // passing, or network
	KindIssuerRefused              Kind = "issuer-refused"               // configuration: secret, certificate, consent
	KindTLSName                    Kind = "tls-name"                     // configuration: the certificate is for another host name
	KindTLS                        Kind = "tls"                          // configuration: TLS with the cache
	KindUnreachable                Kind = "unreachable"                  // network between here and the cache
	KindInvalidToken               Kind = "invalid-token"                // credential: what it returned cannot be used
	KindCredentialUnavailable      Kind = "credential-unavailable"       // environment: nothing to authenticate with
	KindAuthTimeout                Kind = "auth-timeout"                 // passing: the cache took too long to check the token
	KindMaxClients                 Kind = "max-clients"                  // cache: no connection left
)

type kindText struct{ summary, remedy string }

var kindTexts = map[Kind]kindText{
	KindUnknown: {"unclassified failure",
		"Read the error itself; `entraredis token` shows who the token is for, for what and until when."},
	KindWrongUsername: {"wrong username",
		"Use the object ID of the identity, which is the token's oid claim, as username, or leave Options.Username empty. It is neither the client ID nor the object ID of an app registration: az ad sp show --id <client-id> --query id -o tsv"},
	KindNotAssigned: {"identity is not assigned to the cache, or Entra authentication is off",
		"In the Azure portal open the cache: under Authentication > Microsoft Entra Authentication the box must be selected, and under Data Access Configuration the identity's object ID needs an access policy: az redis access-policy-assignment create -g <group> -n <cache> --policy-assignment-name <name> --access-policy-name \"Data Contributor\" --object-id <oid> --object-id-alias <name>"},
	KindNoPermission: {"authenticated, but not permitted",
		"The access policy of the identity lacks this command or key. In the Azure portal: Data Access Configuration; with a custom policy add the command's category or the key pattern: az redis access-policy-assignment list -g <group> -n <cache>"},
	KindNotAuthenticated: {"not authenticated",
		"The connection was used before AUTH. Give the client the Dialer, or Source.Credentials as its credentials provider, and no static password."},
	KindManagedIdentityUnavailable: {"no managed identity here",
		"Managed identity works only on an Azure resource that has one. On a development machine use a user (az login) or a service principal; on Azure check the resource's Identity page and, for a user-assigned identity, its ID."},
	KindWrongAudience: {"token is for another resource",
		"Request the token for " + DefaultScope + " (the default of Options.Scope)."},
	KindWrongTenant: {"wrong tenant or cloud",
		"Use the tenant of the cache's subscription and the authority of its cloud: az account show --query \"{tenant:tenantId, cloud:environmentName}\". An application must exist in that tenant."},
	KindExpired: {"access token has expired",
		"A new token could not be had in time: look at Source.Status().LastError. If there is none, compare the clock of this machine with true time."},
	KindClockSkew: {"clocks disagree",
		"Synchronise the clock of this machine (chronyc tracking, timedatectl, w32tm /query /status) and check the time of its hypervisor."},
	KindIssuerUnreachable: {"issuer does not answer",
		"It is tried again by itself. If it lasts, check DNS, proxy and firewall towards the authority (login.microsoftonline.com; for managed identities 169.254.169.254 without a proxy), and the status of Microsoft Entra ID."},
	KindIssuerRefused: {"issuer refused",
		"The AADSTS code, if the error has one, says why (https://login.microsoftonline.com/error): most often an expired or wrong client secret or certificate, or missing consent."},
	KindTLSName: {"certificate is for another host name",
		"Set Dialer.ServerName to the cache's host name. The certificate holds no IP addresses: a node announced by IP must be verified by the host name of the cache."},
	KindTLS: {"TLS handshake did not succeed",
		"Use the TLS port (6380; Azure Managed Redis 10000), allow TLS 1.2 or newer, and have the system's CA certificates up to date."},
	KindUnreachable: {"cache does not answer",
		"Check host, port, DNS, the cache's firewall and private endpoint: az redis show -g <group> -n <cache> --query \"{host:hostName, port:sslPort}\""},
	KindInvalidToken: {"credential returned an unusable token",
		"The token lacks what is needed: set Options.Username to the identity's object ID if it has no oid claim, and have a credential of your own set ExpiresOn."},
	KindCredentialUnavailable: {"no credential available here",
		"Sign in (az login) or set the variables of the credential in use (AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET for a service principal). A default chain lists what each of its credentials lacked."},
	KindAuthTimeout: {"no answer to AUTH in time",
		"The service may take 10 seconds to check a token: leave Dialer.AuthTimeout above that, and open fewer connections at once."},
	KindMaxClients: {"cache has no connection left",
		"Open fewer connections (pool sizes times instances), look for leaked ones, or choose a larger cache."},
}

// Remedy says what to change, in a sentence or two, with the command or portal
// page where one helps.
func (k Kind) Remedy() string { return k.text().remedy }

// Anchor returns where docs/errors.md treats the kind, such as
// "docs/errors.md#wrong-username".
func (k Kind) Anchor() string {
	if _, ok := kindTexts[k]; !ok {
		k = KindUnknown
	}
	return "docs/errors.md#" + string(k)
}

func (k Kind) text() kindText {
	if t, ok := kindTexts[k]; ok {
		return t
	}
	return kindTexts[KindUnknown]
}
