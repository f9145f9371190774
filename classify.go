package entraredis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis/internal/jwt"
)

// ParseReply classifies an error reply of Redis, with or without its leading
// "-". It returns nil if the reply is not about authentication, authorization
// or the number of clients. The error word counts wherever it stands: Azure
// Cache for Redis puts "ERR " in front of WRONGPASS.
//
// A WRONGPASS alone does not say what is wrong. Without the token at hand it
// is taken for KindNotAssigned, the most frequent cause when the username came
// from the token.
func ParseReply(reply string) *AuthError {
	line := strings.TrimPrefix(strings.TrimRight(reply, "\r\n"), "-")
	words := strings.Fields(line)
	kind := Kind("")
	switch {
	case slices.Contains(words, "WRONGPASS"):
		kind = KindNotAssigned
	case slices.Contains(words, "NOAUTH"):
		kind = KindNotAuthenticated
	case slices.Contains(words, "NOPERM"):
		kind = KindNoPermission
	case strings.Contains(line, "max number of clients reached"):
		kind = KindMaxClients
	default:
		return nil
	}
	return &AuthError{Kind: kind, Reply: line}
}

// classifyAuth classifies the reply to an AUTH with the token and username.
// The server gives one and the same answer to nearly everything that can be
// wrong with a token, so the token's own claims have to tell.
func classifyAuth(reply string, tok Token, username string, now time.Time) *AuthError {
	e := ParseReply(reply)
	if e == nil {
		e = &AuthError{Kind: KindUnknown, Reply: strings.TrimPrefix(strings.TrimRight(reply, "\r\n"), "-")}
	}
	e.Username = username
	if e.Kind == KindNotAssigned {
		if kind, err := refusalOf(tok, username, now); err != nil {
			e.Kind, e.Err = kind, err
		}
	}
	return e
}

// redisAudiences are the audiences of tokens for Redis: the resource with and
// without slash, and the application ID.
var redisAudiences = []string{"https://redis.azure.com", "https://redis.azure.com/", redisAppID}

func refusalOf(tok Token, username string, now time.Time) (Kind, error) {
	if !tok.ExpiresOn.IsZero() && !now.Before(tok.ExpiresOn) {
		return KindExpired, fmt.Errorf("the token expired at %s", stamp(tok.ExpiresOn))
	}
	c, err := jwt.Read(tok.Password())
	if err != nil {
		// With Options.Username any opaque token is let through, and tells nothing.
		return "", nil
	}
	begins := later(c.NotBefore, c.IssuedAt)
	switch {
	case len(c.Audience) > 0 && !slices.ContainsFunc(c.Audience, func(aud string) bool { return slices.Contains(redisAudiences, aud) }):
		return KindWrongAudience, fmt.Errorf("the token is for %q", strings.Join(c.Audience, " "))
	case !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt):
		return KindExpired, fmt.Errorf("the token expired at %s by its exp claim", stamp(c.ExpiresAt))
	case begins.After(now.Add(time.Minute)):
		return KindClockSkew, fmt.Errorf("the token begins only at %s: the clock of this machine says %s", stamp(begins), stamp(now))
	case c.ObjectID == "" || username == c.ObjectID:
		return "", nil
	case username == c.AppID:
		return KindWrongUsername, fmt.Errorf("this is the client ID; the object ID of the identity is %q", c.ObjectID)
	case username != "" && username == c.UPN:
		return KindWrongUsername, fmt.Errorf("this is the user principal name; the object ID of the user is %q", c.ObjectID)
	case strings.EqualFold(username, c.ObjectID):
		return KindWrongUsername, fmt.Errorf("redis usernames are case-sensitive; the object ID is %q", c.ObjectID)
	}
	return KindWrongUsername, fmt.Errorf("the token belongs to the object ID %q", c.ObjectID)
}

// aadstsCodes are the codes of Microsoft Entra ID whose kind or remedy is more
// particular than "refused" (Microsoft Learn, "Microsoft Entra authentication
// and authorization error codes").
var aadstsCodes = map[int]struct {
	kind   Kind
	remedy string
}{
	90002:   {KindWrongTenant, "The tenant does not exist in this cloud: check the tenant ID, and that the authority is that of the cloud (Azure China and US Government have their own)."},
	900023:  {KindWrongTenant, "The tenant ID is neither a GUID nor a domain name: az account show --query tenantId -o tsv"},
	700016:  {KindWrongTenant, "The client ID is not known in this tenant: check both; a multi-tenant application must first be added to the tenant."},
	500011:  {KindWrongTenant, "The resource of the scope is not known in this tenant: check tenant and Options.Scope; az ad sp create --id " + redisAppID + " adds Azure Redis to a tenant."},
	650052:  {KindWrongTenant, "This tenant has no service principal for Azure Redis: check that it is the cache's tenant, or add it with az ad sp create --id " + redisAppID},
	650057:  {KindIssuerRefused, "The client application has no permission on the Azure Redis API: add it under API permissions of the app registration and grant consent."},
	7000215: {KindIssuerRefused, "The client secret is wrong: give its value, not its ID."},
	7000222: {KindIssuerRefused, "The client secret has expired: create a new one (az ad app credential reset --id <client-id>)."},
	700027:  {KindIssuerRefused, "The certificate is not the one uploaded to the app registration."},
	50076:   {KindIssuerRefused, "The user must pass multi-factor authentication: sign in interactively (browser, device code, az login)."},
	50079:   {KindIssuerRefused, "The user must enrol in multi-factor authentication: sign in interactively once."},
	700024:  {KindClockSkew, "The client assertion is outside its time range: synchronise the clock of this machine, and check that an assertion read from a file is still being replaced before it expires."},
}

// refusedWithoutCode is the remedy where there is no code to look up. Refusals
// of Microsoft Entra ID have one.
const refusedWithoutCode = "The refusal has no AADSTS code, so it is probably not Microsoft Entra ID that answered: check the authority (AZURE_AUTHORITY_HOST) and that no proxy or captive portal answers in its place (HTTPS_PROXY, NO_PROXY). With a managed identity, check that IDENTITY_ENDPOINT and IDENTITY_HEADER are those this very process was started with."

var (
	aadstsPattern = regexp.MustCompile(`AADSTS([0-9]{4,8})`)
	statusPattern = regexp.MustCompile(`RESPONSE ([0-9]{3})`)
)

// aadsts returns the first AADSTS code in a text, or 0.
func aadsts(text string) int {
	if m := aadstsPattern.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// classifyToken classifies a credential's error. The types of azidentity are
// not imported (the caller brings the credential), and they flatten network
// errors into text anyway, so text has to do where types say nothing.
func classifyToken(err error) Kind {
	if e, ok := errors.AsType[*TokenError](err); ok {
		return e.Kind
	}
	text := err.Error()
	if code := aadsts(text); code != 0 {
		if known, ok := aadstsCodes[code]; ok {
			return known.kind
		}
		return KindIssuerRefused
	}
	managed := strings.Contains(text, "ManagedIdentityCredential")
	switch {
	case managed && containsAny(text, "identity isn't assigned", "authenticate a system assigned identity") && !strings.Contains(text, "Attempted credentials:"):
		return KindManagedIdentityUnavailable
	case strings.Contains(text, "169.254.169.254") && !strings.Contains(text, "Attempted credentials:") &&
		(!strings.Contains(text, "RESPONSE ") || containsAny(text, "RESPONSE 403", "RESPONSE 404")):
		// Off Azure a proxy or gateway may answer in the place of the machine's
		// identity endpoint, which itself says neither.
		return KindManagedIdentityUnavailable
	}
	if status := httpStatus(err, text); status != 0 {
		switch {
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
			return KindIssuerUnreachable
		case status >= 400:
			return KindIssuerRefused
		}
		return KindUnknown
	}
	switch {
	case containsAny(text, "Attempted credentials:", "AzureCLICredential", "AzureDeveloperCLICredential", "without user interaction"):
		return KindCredentialUnavailable
	case managed && containsAny(text, "managed identity timed out", "unexpected response"):
		return KindManagedIdentityUnavailable
	}
	if isNetwork(err) || containsAny(text, "dial tcp", "no such host", "connection refused", "connection reset", "i/o timeout",
		"deadline exceeded", "EOF", "TLS handshake", "x509:", "unable to resolve an endpoint") {
		return KindIssuerUnreachable
	}
	return KindUnknown
}

func httpStatus(err error, text string) int {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode
	}
	if m := statusPattern.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, context.DeadlineExceeded)
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
}
