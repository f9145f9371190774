package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

// entraError is a refusal as Entra words it.
func entraError(status int, code, text string) func(*patient) {
	return setFault(emulator.Fault{Endpoint: "token", Status: status,
		Body: `{"error":"invalid_client","error_description":"AADSTS` + code + `: ` + text + ` Trace ID: 0000","error_codes":[` + code + `]}`})
}

// managed is a fault of the metadata service, met by a managed identity of
// which azidentity has no token yet.
func managed(f emulator.Fault) func(*patient) {
	return func(p *patient) {
		p.SetFault(f)
		p.managed(emulator.UserIdentityClientID)
	}
}

var credentialFaults = []fault{
	{name: "IMDS silent", check: "credential", anchor: "managed-identity-unavailable", remedy: "az login and --credential azure-cli", within: 1100 * time.Millisecond,
		provoke: managed(emulator.Fault{Endpoint: "imds", Hang: true})},
	{name: "IMDS reset", check: "credential", anchor: "managed-identity-unavailable", remedy: "az login and --credential azure-cli", within: 1100 * time.Millisecond,
		provoke: managed(emulator.Fault{Endpoint: "imds", Reset: true})},
	{name: "IMDS 400: identity not on the machine", check: "credential", anchor: "identity-not-on-resource", remedy: "add the user-assigned one",
		provoke: func(p *patient) { p.managed("c0000000-0000-4000-8000-00000000dead") }},
	{name: "az missing", sockets: true, program: [2]string{"sh", `exit 127`}, check: "credential", anchor: "tool-missing", remedy: "https://aka.ms/azure-cli",
		provoke: func(p *patient) { p.use(credential.AzureCLI, credential.Settings{}) }},
	{name: "az not signed in", sockets: true, program: [2]string{"az", "echo \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1"}, check: "credential", anchor: "not-signed-in", remedy: "az login --tenant",
		provoke: func(p *patient) { p.use(credential.AzureCLI, credential.Settings{}) }},
	{name: "chain with a wrong secret", check: "credential", anchor: "issuer-refused", remedy: "give its value, not its ID",
		env:     map[string]string{"AZURE_TOKEN_CREDENTIALS": "prod", "AZURE_TENANT_ID": emulator.DefaultTenantID, "AZURE_CLIENT_ID": emulator.AppClientID, "AZURE_CLIENT_SECRET": "wrong"},
		provoke: func(p *patient) { p.use(credential.Default, p.settings()) }},
	{name: "chain without a credential", sockets: true, program: [2]string{"az", "echo \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1"}, check: "credential", anchor: "credential-unavailable", remedy: "name it with --credential",
		env:     map[string]string{"AZURE_TOKEN_CREDENTIALS": "dev"},
		provoke: func(p *patient) { p.use(credential.Default, p.settings()) }},
}

var issuerFaults = []fault{
	{name: "secret wrong", check: "credential", anchor: "issuer-refused", remedy: "give its value, not its ID",
		provoke: func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = p.TenantID(), emulator.AppClientID, "wrong"
			p.use(credential.ClientSecret, s)
		}},
	{name: "secret expired", check: "credential", anchor: "issuer-refused", remedy: "az ad app credential reset",
		provoke: entraError(401, "7000222", "The provided client secret keys are expired.")},
	{name: "client ID unknown", check: "credential", anchor: "wrong-tenant", remedy: "The client ID is not known in this tenant",
		provoke: func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = p.TenantID(), "c0000000-0000-4000-8000-00000000dead", "x"
			p.use(credential.ClientSecret, s)
		}},
	{name: "tenant unknown", check: "credential", anchor: "wrong-tenant", remedy: "The tenant does not exist in this cloud",
		provoke: func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = "99999999-2222-4333-8444-555555555555", emulator.AppClientID, emulator.AppClientSecret
			p.use(credential.ClientSecret, s)
		}},
	{name: "tenant without Azure Redis", check: "credential", anchor: "wrong-tenant", remedy: "az ad sp create --id acca5fbb",
		provoke: entraError(400, "650052", "The app needs access to a service that your organization has not subscribed to or enabled.")},
	{name: "resource unknown", check: "credential", anchor: "wrong-tenant", remedy: "The resource of the scope is not known",
		provoke: func(p *patient) { p.o.Scope = "https://redis.example.test/.default" }},
	{name: "no permission on the Redis API", check: "credential", anchor: "issuer-refused", remedy: "API permissions",
		provoke: entraError(400, "650057", "Invalid resource.")},
	{name: "multi-factor authentication required", check: "credential", anchor: "issuer-refused", remedy: "pass multi-factor authentication",
		provoke: func(p *patient) {
			p.as("ada")
			entraError(400, "50076", "Due to a configuration change made by your administrator, you must use multi-factor authentication.")(p)
		}},
	{name: "assertion outside its times", check: "credential", anchor: "clock-skew", remedy: "client assertion",
		provoke: entraError(401, "700024", "Client assertion is not within its valid time range.")},
	{name: "token endpoint silent", check: "credential", anchor: "issuer-unreachable", remedy: "check DNS, proxy and firewall", within: 40 * time.Second,
		provoke: setFault(emulator.Fault{Endpoint: "token", Hang: true})},
	{name: "token endpoint reset", check: "credential", anchor: "issuer-unreachable", remedy: "check DNS, proxy and firewall",
		provoke: setFault(emulator.Fault{Endpoint: "token", Reset: true})},
	{name: "issuer's name unknown", check: "credential", anchor: "issuer-name", remedy: "Check --authority-host",
		provoke: func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = p.TenantID(), emulator.AppClientID, emulator.AppClientSecret
			s.Transport = unreachable{&net.DNSError{Err: "no such host", Name: "login.microsoftonline.com", IsNotFound: true}}
			p.use(credential.ClientSecret, s)
		}},
	{name: "issuer's certificate not trusted", check: "credential", anchor: "issuer-certificate", remedy: "--ca-file",
		provoke: func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = p.TenantID(), emulator.AppClientID, emulator.AppClientSecret
			s.Transport = unreachable{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
			p.use(credential.ClientSecret, s)
		}},
}

// answers are the refusals of each endpoint a token comes from.
func answers() (rows []fault) {
	appService := map[string]string{"IDENTITY_ENDPOINT": "http://identity.entraredis.test/msi/token", "IDENTITY_HEADER": "emulated-identity-header"}
	user := func(p *patient) { p.as("app") }
	machine := func(p *patient) { p.managed(emulator.UserIdentityClientID) }
	const code, outage, crowd = "no proxy or captive portal answers", "status.azure.com", "one Source for all clients"
	for _, a := range []struct {
		endpoint string
		status   int
		as       func(*patient)
		anchor   string
		remedy   string
	}{
		{"token", 400, user, "refused-without-code", code},
		{"token", 404, user, "refused-without-code", code},
		{"token", 429, user, "throttled", crowd},
		{"token", 500, user, "issuer-outage", outage},
		{"openid", 400, user, "refused-without-code", code},
		{"openid", 404, user, "refused-without-code", code},
		{"openid", 429, user, "throttled", crowd},
		{"openid", 500, user, "issuer-outage", outage},
		{"imds", 400, machine, "identity-not-on-resource", "add the user-assigned one"},
		{"imds", 404, machine, "not-azure-metadata", "works only on an Azure resource"},
		{"imds", 429, machine, "throttled", crowd},
		{"imds", 500, machine, "issuer-outage", outage},
		{"msi", 400, machine, "identity-endpoint-refused", "IDENTITY_HEADER are the ones"},
		{"msi", 404, machine, "identity-endpoint-refused", "IDENTITY_HEADER are the ones"},
		{"msi", 429, machine, "throttled", crowd},
		{"msi", 500, machine, "issuer-outage", outage},
	} {
		row := fault{name: fmt.Sprintf("%s %d", a.endpoint, a.status), check: "credential", anchor: a.anchor, remedy: a.remedy,
			provoke: func(p *patient) {
				p.SetFault(emulator.Fault{Endpoint: a.endpoint, Status: a.status, Body: `{"error":"some_error","error_description":"no code"}`})
				a.as(p)
			}}
		if a.endpoint == "msi" {
			row.env = appService
		}
		rows = append(rows, row)
	}
	return rows
}

// unreachable is an HTTP client without network.
type unreachable struct{ err error }

func (u unreachable) Do(*http.Request) (*http.Response, error) { return nil, u.err }

// claims has every token given out carry these.
func claims(c map[string]any) func(*patient) {
	return setFault(emulator.Fault{Endpoint: "claims", Claims: c})
}

const foreignTenant = "22222222-2222-4333-8444-555555555555"

var tokenFaults = []fault{
	{name: "wrong audience", check: "token", anchor: "wrong-audience", remedy: "Request the token for https://redis.azure.com/.default",
		provoke: func(p *patient) { p.o.Scope = "https://management.azure.com/.default" }},
	{name: "foreign tenant, the right one given", check: "token", anchor: "foreign-tenant", remedy: "az login --tenant",
		provoke: func(p *patient) {
			p.o.TenantID = p.TenantID()
			claims(map[string]any{"tid": foreignTenant, "iss": "https://sts.windows.net/" + foreignTenant + "/"})(p)
		}},
	{name: "token of another cloud", check: "token", anchor: "wrong-cloud", remedy: "--cloud china",
		provoke: claims(map[string]any{"iss": "https://sts.chinacloudapi.cn/" + emulator.DefaultTenantID + "/"})},
	{name: "token without object ID", check: "token", anchor: "invalid-token", remedy: "set Options.Username",
		provoke: claims(map[string]any{"oid": nil})},
	{name: "something that is no token", check: "token", anchor: "invalid-token", remedy: "set Options.Username",
		provoke: func(p *patient) {
			p.give("token", static(azcore.AccessToken{Token: "an-opaque-secret", ExpiresOn: time.Now().Add(time.Hour)}))
		}},
	{name: "clock an hour behind", check: "token", anchor: "clock-skew", remedy: "Synchronise the clock",
		provoke: func(p *patient) { p.Advance(time.Hour) }},
	{name: "clock two hours ahead", check: "token", anchor: "clock-skew", remedy: "Synchronise the clock",
		provoke: func(p *patient) { p.Advance(-2 * time.Hour) }},
	{name: "clock three minutes ahead", check: "token", status: doctor.Warning, anchor: "clock-skew", remedy: "Synchronise the clock",
		provoke: func(p *patient) { p.Advance(-3 * time.Minute) }},
	{name: "token expired, clock right", check: "token", anchor: "stale-token", remedy: "acquire a new token instead of keeping one",
		provoke: func(p *patient) {
			ended := time.Now().Add(-time.Minute)
			p.give("token", static(azcore.AccessToken{ExpiresOn: ended, Token: p.Mint("app", func(c map[string]any) {
				c["exp"], c["iat"], c["nbf"] = ended.Unix(), ended.Add(-time.Hour).Unix(), ended.Add(-time.Hour).Unix()
			})}))
		}},
	{name: "expired, although the answer said otherwise", check: "token", anchor: "stale-token", remedy: "acquire a new token instead of keeping one",
		provoke: claims(map[string]any{"exp": int64(946684800 - 60)})}, // a minute before the bubble's clock begins
	{name: "token from the future, clock right", check: "token", anchor: "token-from-the-future", remedy: "that machine's clock",
		provoke: func(p *patient) {
			begins := time.Now().Add(time.Hour)
			p.give("token", static(azcore.AccessToken{ExpiresOn: begins.Add(time.Hour), Token: p.Mint("app", func(c map[string]any) {
				c["exp"], c["iat"], c["nbf"] = begins.Add(time.Hour).Unix(), begins.Unix(), begins.Unix()
			})}))
		}},
}
