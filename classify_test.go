package entraredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/entraredis/entraredis/internal/jwt"
)

func TestParseReply(t *testing.T) {
	for reply, want := range map[string]Kind{
		"WRONGPASS invalid username-password pair":                          KindNotAssigned,
		"ERR WRONGPASS invalid username-password pair":                      KindNotAssigned,
		"-ERR WRONGPASS invalid username-password pair\r\n":                 KindNotAssigned,
		"-WRONGPASS invalid username-password pair or user is disabled.":    KindNotAssigned,
		"NOAUTH Authentication required.":                                   KindNotAuthenticated,
		"NOAUTH HELLO must be called with the client already authenticated": KindNotAuthenticated,
		"NOPERM this user has no permissions to run the 'set' command":      KindNoPermission,
		"ERR max number of clients reached":                                 KindMaxClients,
		"ERR unknown command 'WRONGPASS'":                                   "",
		"WRONGTYPE Operation against a key holding the wrong kind of value": "",
		"LOADING Redis is loading the dataset in memory":                    "",
		"":  "",
		"-": "",
	} {
		got := ParseReply(reply)
		if want == "" {
			if got != nil {
				t.Errorf("ParseReply(%q) = %v, want nil", reply, got)
			}
			continue
		}
		if got == nil || got.Kind != want || strings.ContainsAny(got.Reply, "\r\n") || strings.HasPrefix(got.Reply, "-") {
			t.Errorf("ParseReply(%q) = %+v, want %s", reply, got, want)
		}
	}
}

const (
	testOID   = "0f4c2f9e-63b5-4a9e-9a51-2f3a3b0f7c11"
	testAppID = "11111111-2222-3333-4444-555555555555"
)

func testToken(t *testing.T, key *jwt.Key, change map[string]any) Token {
	t.Helper()
	claims := map[string]any{"aud": "https://redis.azure.com", "oid": testOID, "appid": testAppID, "upn": "ada@example.com",
		"iat": epoch.Unix(), "nbf": epoch.Unix(), "exp": epoch.Add(time.Hour).Unix()}
	for k, v := range change {
		claims[k] = v
	}
	secret, err := key.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return Token{Username: testOID, ExpiresOn: epoch.Add(time.Hour), IssuedAt: epoch, secret: &secret}
}

func TestClassifyAuthTellsRefusalsApart(t *testing.T) {
	const refused = "-ERR WRONGPASS invalid username-password pair\r\n"
	key, err := jwt.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	opaque := "opaque"
	late := epoch.Add(30 * time.Minute)
	tests := []struct {
		name, reply, username string
		tok                   Token
		now                   time.Time
		kind                  Kind
		text                  string
	}{
		{"all in order", refused, testOID, testToken(t, key, nil), late, KindNotAssigned, "not assigned"},
		{"client ID", refused, testAppID, testToken(t, key, nil), late, KindWrongUsername, `this is the client ID; the object ID of the identity is "` + testOID + `"`},
		{"UPN", refused, "ada@example.com", testToken(t, key, nil), late, KindWrongUsername, "this is the user principal name"},
		{"upper case", refused, strings.ToUpper(testOID), testToken(t, key, nil), late, KindWrongUsername, "case-sensitive"},
		{"someone else", refused, "default", testToken(t, key, nil), late, KindWrongUsername, "the token belongs to the object ID"},
		{"another audience", refused, testOID, testToken(t, key, map[string]any{"aud": "https://management.azure.com"}), late, KindWrongAudience, `"https://management.azure.com"`},
		{"audience with slash", refused, testOID, testToken(t, key, map[string]any{"aud": "https://redis.azure.com/"}), late, KindNotAssigned, ""},
		{"audience GUID", refused, testOID, testToken(t, key, map[string]any{"aud": redisAppID}), late, KindNotAssigned, ""},
		{"expired", refused, testOID, testToken(t, key, nil), epoch.Add(time.Hour), KindExpired, "2026-03-01T13:00:00Z"},
		{"expired by exp only", refused, testOID, testToken(t, key, map[string]any{"exp": epoch.Unix() + 60}), late, KindExpired, "exp claim"},
		{"not yet valid", refused, testOID, testToken(t, key, nil), epoch.Add(-2 * time.Minute), KindClockSkew, "begins only at"},
		{"a second ahead", refused, testOID, testToken(t, key, nil), epoch.Add(-time.Second), KindNotAssigned, ""},
		{"opaque token", refused, "ada", Token{ExpiresOn: epoch.Add(time.Hour), secret: &opaque}, late, KindNotAssigned, ""},
		{"no token", refused, "ada", Token{}, late, KindNotAssigned, ""},
		{"no oid", refused, "ada", testToken(t, key, map[string]any{"oid": ""}), late, KindNotAssigned, ""},
		{"clients", "ERR max number of clients reached", testOID, testToken(t, key, nil), late, KindMaxClients, ""},
		{"something else", "-ERR protocol error: invalid bulk length\r\n", testOID, testToken(t, key, nil), late, KindUnknown, "invalid bulk length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := classifyAuth(tt.reply, tt.tok, tt.username, tt.now)
			if e.Kind != tt.kind || e.Username != tt.username || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("classifyAuth = %s %v, want %s with %q", e.Kind, e, tt.kind, tt.text)
			}
			if p := tt.tok.Password(); p != "" && strings.Contains(e.Error(), p) {
				t.Error("error shows the token")
			}
		})
	}
}

func TestClassifyToken(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{&azcore.ResponseError{StatusCode: 503}, KindIssuerUnreachable},
		{&azcore.ResponseError{StatusCode: 429}, KindIssuerUnreachable},
		{&azcore.ResponseError{StatusCode: 401}, KindIssuerRefused},
		{&net.DNSError{Err: "no such host", Name: "login"}, KindIssuerUnreachable},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), KindIssuerUnreachable},
		{&tls.CertificateVerificationError{Err: errors.New("x509: certificate signed by unknown authority")}, KindIssuerUnreachable},
		{&TokenError{Kind: KindExpired}, KindExpired},
		{errors.New("AADSTS90002: Tenant 'x' not found."), KindWrongTenant},
		{errors.New("AADSTS700016: Application not found"), KindWrongTenant},
		{errors.New("AADSTS650052: lacks a service principal"), KindWrongTenant},
		{errors.New("AADSTS500011: resource principal not found"), KindWrongTenant},
		{errors.New("AADSTS650057: Invalid resource."), KindIssuerRefused},
		{errors.New("AADSTS7000215: Invalid client secret provided."), KindIssuerRefused},
		{errors.New("AADSTS50076: you must use multi-factor authentication"), KindIssuerRefused},
		{errors.New("AADSTS700024: Client assertion is not within its valid time range."), KindClockSkew},
		{errors.New("AADSTS99999999: new code"), KindIssuerRefused},
		{errors.New(`Get "http://169.254.169.254/metadata/identity/oauth2/token": dial tcp 169.254.169.254:80: i/o timeout`), KindManagedIdentityUnavailable},
		{errors.New("ManagedIdentityCredential authentication failed.\nGET http://169.254.169.254/metadata/identity/oauth2/token\nRESPONSE 403 Forbidden"), KindManagedIdentityUnavailable},
		{errors.New("ManagedIdentityCredential authentication failed.\nGET http://169.254.169.254/metadata/identity/oauth2/token\nRESPONSE 500 Internal Server Error"), KindIssuerUnreachable},
		{errors.New("ManagedIdentityCredential: managed identity timed out. See https://aka.ms"), KindManagedIdentityUnavailable},
		{errors.New("ManagedIdentityCredential: failed to authenticate a system assigned identity"), KindManagedIdentityUnavailable},
		{errors.New("DefaultAzureCredential: failed to acquire a token.\nAttempted credentials:\n\tEnvironmentCredential: missing\n\tManagedIdentityCredential: managed identity timed out"), KindCredentialUnavailable},
		{errors.New("AzureCLICredential: executable not found on path"), KindCredentialUnavailable},
		{errors.New("something new"), KindUnknown},
	} {
		if got := classifyToken(tt.err); got != tt.want {
			t.Errorf("classifyToken(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}

// The texts above are azidentity's of today; this asks azidentity itself.
func TestClassifyTokenOfAzidentity(t *testing.T) {
	var status int
	var body string
	issuer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			base := "https://" + r.Host + "/tenant"
			fmt.Fprintf(w, `{"issuer":"%s/v2.0","token_endpoint":"%s/token","authorization_endpoint":"%s/authorize"}`, base, base, base)
			return
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	issuer.Config.ErrorLog = log.New(io.Discard, "", 0) // one client here does not trust it
	issuer.StartTLS()
	defer issuer.Close()
	newCredential := func(host string, client *http.Client) azcore.TokenCredential {
		c, err := azidentity.NewClientSecretCredential("tenant", "client", "pa55word", &azidentity.ClientSecretCredentialOptions{
			DisableInstanceDiscovery: true,
			ClientOptions: policy.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1},
				Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: host}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	imds, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: policy.ClientOptions{Transport: offline{}, Retry: policy.RetryOptions{MaxRetries: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "https://" + ln.Addr().String()
	ln.Close()

	for _, tt := range []struct {
		name       string
		credential azcore.TokenCredential
		status     int
		body       string
		kind       Kind
		text       string // in TokenError.Error
	}{
		{"503", newCredential(issuer.URL, issuer.Client()), 503, `{"error":"temporarily_unavailable"}`, KindIssuerUnreachable, "RESPONSE 503"},
		{"bad secret", newCredential(issuer.URL, issuer.Client()), 401,
			`{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}`, KindIssuerRefused, "AADSTS7000215: Invalid client secret provided."},
		{"wrong tenant", newCredential(issuer.URL, issuer.Client()), 400,
			`{"error":"invalid_request","error_description":"AADSTS90002: Tenant 'tenant' not found."}`, KindWrongTenant, "AADSTS90002"},
		{"refused connection", newCredential(nobody, issuer.Client()), 0, "", KindIssuerUnreachable, "connection refused"},
		{"unknown CA", newCredential(issuer.URL, http.DefaultClient), 0, "", KindIssuerUnreachable, "certificate"},
		{"off Azure", imds, 0, "", KindManagedIdentityUnavailable, "169.254.169.254"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body = tt.status, tt.body
			_, err := tt.credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{DefaultScope}})
			if err == nil {
				t.Fatal("GetToken = nil error")
			}
			te := &TokenError{Kind: classifyToken(err), Scope: DefaultScope, Err: err}
			if te.Kind != tt.kind || !strings.Contains(te.Error(), tt.text) {
				t.Errorf("kind %s, %v; want %s and %q", te.Kind, te, tt.kind, tt.text)
			}
			if strings.Contains(te.Error(), "\n") || strings.Contains(te.Error(), "pa55word") {
				t.Errorf("error is no single line, or shows the secret: %q", te.Error())
			}
		})
	}
}

// offline is a machine without IMDS.
type offline struct{}

func (offline) Do(r *http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}, Err: errors.New("connect: no route to host")}
}
