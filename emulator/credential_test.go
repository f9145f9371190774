package emulator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	jwtlib "github.com/golang-jwt/jwt/v5"

	"github.com/entraredis/entraredis/emulator"
)

func secretCredential(t *testing.T, e *emulator.Emulator) azcore.TokenCredential {
	t.Helper()
	c, err := azidentity.NewClientSecretCredential(e.TenantID(), emulator.AppClientID, emulator.AppClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: clientOptions(e), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientSecretCredential(t *testing.T) {
	e := emulator.RunT(t)
	c := secretCredential(t, e)
	for _, resource := range []string{"https://redis.azure.com", "https://redis.azure.com/", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"} {
		before := e.Stats().TokensIssued
		first := getToken(t, c, resource+"/.default")
		claims := checkToken(t, e, first.Token, emulator.AppObjectID, resource)
		if claims["idtyp"] != "app" || claims["appid"] != emulator.AppClientID || claims["appidacr"] != "1" {
			t.Errorf("claims %v", claims)
		}
		if second := getToken(t, c, resource+"/.default"); second.Token != first.Token {
			t.Error("the second token is not the cached first")
		}
		if got := e.Stats().TokensIssued - before; got != 1 {
			t.Errorf("%d tokens were issued for two GetToken, want 1", got)
		}
	}
}

// With e.HTTPClient a credential needs neither the authority nor
// DisableInstanceDiscovery.
func TestClientSecretCredentialOfPublicCloud(t *testing.T) {
	e := emulator.RunT(t)
	for name, options := range map[string]azcore.ClientOptions{
		"authority of Entra": {Transport: e.HTTPClient()},
		"instance discovery": clientOptions(e),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := azidentity.NewClientSecretCredential(e.TenantID(), emulator.AppClientID, emulator.AppClientSecret,
				&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
			if err != nil {
				t.Fatal(err)
			}
			checkToken(t, e, getToken(t, c, scope).Token, emulator.AppObjectID, "https://redis.azure.com")
		})
	}
}

func selfSigned(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func TestClientCertificateCredential(t *testing.T) {
	certificate, key := selfSigned(t)
	other, otherKey := selfSigned(t)
	p := emulator.Principal{Name: "signer", Kind: emulator.PrincipalApp, ObjectID: guid(t), ClientID: guid(t), Certificate: certificate}
	e := emulator.RunT(t, emulator.Options{Principals: []emulator.Principal{p}})
	credential := func(cert *x509.Certificate, key *rsa.PrivateKey) azcore.TokenCredential {
		c, err := azidentity.NewClientCertificateCredential(e.TenantID(), p.ClientID, []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: clientOptions(e), DisableInstanceDiscovery: true, SendCertificateChain: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := credential(certificate, key)
	first := getToken(t, c, scope)
	if claims := checkToken(t, e, first.Token, p.ObjectID, "https://redis.azure.com"); claims["appidacr"] != "2" {
		t.Errorf("appidacr: got %v, want 2", claims["appidacr"])
	}
	if second := getToken(t, c, scope); second.Token != first.Token {
		t.Error("the second token is not the cached first")
	}
	for name, wrong := range map[string]azcore.TokenCredential{
		"other certificate": credential(other, otherKey),
		"other key":         credential(&x509.Certificate{Raw: certificate.Raw, PublicKey: &otherKey.PublicKey}, otherKey),
	} {
		_, err := wrong.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		wantCode(t, name, err, "AADSTS700027")
	}
}

func wantCode(t *testing.T, name string, err error, code string) {
	t.Helper()
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), code+":") {
		t.Errorf("%s: got %v, want AuthenticationFailedError with %s", name, err, code)
	}
}

// federated returns an app with a federated identity credential and a function
// that makes assertions of its issuer.
func federated(t *testing.T, kind emulator.PrincipalKind) (emulator.Principal, func(change func(jwtlib.MapClaims)) string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := emulator.Principal{
		Name: "workload", Kind: kind, ObjectID: guid(t), ClientID: guid(t),
		FederatedIssuer: "https://cluster.test/", FederatedSubject: "system:serviceaccount:default:cache", FederatedKey: &key.PublicKey,
	}
	return p, func(change func(jwtlib.MapClaims)) string {
		claims := jwtlib.MapClaims{"iss": p.FederatedIssuer, "sub": p.FederatedSubject, "aud": []string{"api://AzureADTokenExchange"},
			"nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		if change != nil {
			change(claims)
		}
		s, err := jwtlib.NewWithClaims(jwtlib.SigningMethodRS256, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestWorkloadIdentityCredential(t *testing.T) {
	for _, kind := range []emulator.PrincipalKind{emulator.PrincipalApp, emulator.PrincipalManagedIdentity} {
		p, assertion := federated(t, kind)
		e := emulator.RunT(t, emulator.Options{Principals: []emulator.Principal{p}})
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(assertion(nil)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: clientOptions(e), DisableInstanceDiscovery: true,
			TenantID: e.TenantID(), ClientID: p.ClientID, TokenFilePath: file,
		})
		if err != nil {
			t.Fatal(err)
		}
		first := getToken(t, c, scope)
		checkToken(t, e, first.Token, p.ObjectID, "https://redis.azure.com")
		if second := getToken(t, c, scope); second.Token != first.Token {
			t.Error("the second token is not the cached first")
		}
	}
}

func TestClientAssertionCredential(t *testing.T) {
	p, assertion := federated(t, emulator.PrincipalApp)
	_, foreign := federated(t, emulator.PrincipalApp)
	e := emulator.RunT(t, emulator.Options{Principals: []emulator.Principal{p}})
	for name, test := range map[string]struct{ assertion, code string }{
		"good":          {assertion(nil), ""},
		"issuer":        {assertion(func(c jwtlib.MapClaims) { c["iss"] = "https://elsewhere.test/" }), "AADSTS700211"},
		"subject":       {assertion(func(c jwtlib.MapClaims) { c["sub"] = "system:serviceaccount:default:other" }), "AADSTS700213"},
		"audience":      {assertion(func(c jwtlib.MapClaims) { c["aud"] = "https://redis.azure.com" }), "AADSTS700212"},
		"expired":       {assertion(func(c jwtlib.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }), "AADSTS700024"},
		"without end":   {assertion(func(c jwtlib.MapClaims) { delete(c, "exp") }), "AADSTS700024"},
		"not yet valid": {assertion(func(c jwtlib.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }), "AADSTS700024"},
		"signature":     {foreign(nil), "AADSTS700027"},
		"no JWT":        {"nonsense", "AADSTS50027"},
	} {
		c, err := azidentity.NewClientAssertionCredential(e.TenantID(), p.ClientID,
			func(context.Context) (string, error) { return test.assertion, nil },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: clientOptions(e), DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		if test.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			checkToken(t, e, token.Token, p.ObjectID, "https://redis.azure.com")
			continue
		}
		wantCode(t, name, err, test.code)
	}
}

func TestUsernamePasswordCredential(t *testing.T) {
	e := emulator.RunT(t)
	credential := func(upn, password string) azcore.TokenCredential {
		//lint:ignore SA1019 people still use it
		options := azidentity.UsernamePasswordCredentialOptions{ClientOptions: clientOptions(e), DisableInstanceDiscovery: true}
		c, err := azidentity.NewUsernamePasswordCredential(e.TenantID(), "04b07795-8ddb-461a-bbee-02f9e1bf7b46", upn, password, &options)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := credential(emulator.UserUPN, emulator.UserPassword)
	first := getToken(t, c, scope)
	claims := checkToken(t, e, first.Token, emulator.UserObjectID, "https://redis.azure.com")
	if claims["upn"] != emulator.UserUPN || claims["scp"] != "user_impersonation" || claims["idtyp"] != nil {
		t.Errorf("claims %v", claims)
	}
	if second := getToken(t, c, scope); second.Token != first.Token {
		t.Error("the second token is not the cached first")
	}
	_, err := credential(emulator.UserUPN, "wrong").GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	wantCode(t, "wrong password", err, "AADSTS50126")
	_, err = credential("nobody@entraredis.test", "x").GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	wantCode(t, "unknown user", err, "AADSTS50034")
}

func TestDeviceCodeCredential(t *testing.T) {
	e := emulator.RunT(t)
	c, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: clientOptions(e), DisableInstanceDiscovery: true, TenantID: e.TenantID(),
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			if !strings.HasPrefix(m.VerificationURL, e.IssuerURL()) || !strings.Contains(m.Message, m.UserCode) {
				t.Errorf("message %+v", m)
			}
			return e.ApproveDevice(m.UserCode, "ada")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	first := getToken(t, c, scope)
	checkToken(t, e, first.Token, emulator.UserObjectID, "https://redis.azure.com")
	if second := getToken(t, c, scope); second.Token != first.Token {
		t.Error("the second token is not the cached first")
	}
}

// A user's token is refreshed without the user: with the refresh token.
func TestRefreshToken(t *testing.T) {
	prompts := 0
	e := emulator.RunT(t, emulator.Options{TokenLifetime: 10 * time.Second}) // too short for MSAL to cache
	c, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: clientOptions(e), DisableInstanceDiscovery: true, TenantID: e.TenantID(),
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			prompts++
			return e.ApproveDevice(m.UserCode, "ada")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := getToken(t, c, scope), getToken(t, c, scope)
	if first.Token == second.Token || prompts != 1 {
		t.Errorf("same token: %v; %d prompts, want 1", first.Token == second.Token, prompts)
	}
	checkToken(t, e, second.Token, emulator.UserObjectID, "https://redis.azure.com")
}

// uncached is a lifetime too short for azidentity to keep the token: its cache
// of managed identity tokens outlives the emulator they came from.
const uncached = 4 * time.Minute

// managedIdentity returns a principal that no other test of the process uses.
func managedIdentity(t *testing.T) emulator.Principal {
	t.Helper()
	return emulator.Principal{
		Name: "identity", Kind: emulator.PrincipalManagedIdentity, ObjectID: guid(t), ClientID: guid(t), Policy: emulator.PolicyDataOwner,
		ResourceID: "/subscriptions/" + guid(t) + "/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
	}
}

func TestManagedIdentityCredential(t *testing.T) {
	p := managedIdentity(t)
	principals := append(emulator.DefaultPrincipals(), p)
	for i := range principals {
		if principals[i].Name == "mi" {
			principals[i].TokenLifetime = uncached
		}
	}
	e := emulator.RunT(t, emulator.Options{Principals: principals})
	ids := map[string]azidentity.ManagedIDKind{
		"client ID": azidentity.ClientID(p.ClientID), "object ID": azidentity.ObjectID(p.ObjectID), "resource ID": azidentity.ResourceID(p.ResourceID),
	}
	// The cache of azidentity is keyed by resource too, so each style has one of its own.
	styles := map[string]string{"App Service": "https://redis.azure.com", "IMDS": "acca5fbb-b7e4-4009-81f1-37e38fd66d78"}
	for style, resource := range styles {
		t.Run(style, func(t *testing.T) {
			options := azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}}
			if style == "IMDS" {
				options.Transport = e.HTTPClient()
			} else {
				t.Setenv("IDENTITY_ENDPOINT", e.IdentityURL()+"/msi/token")
				t.Setenv("IDENTITY_HEADER", e.IdentityHeader())
			}
			for name, id := range ids {
				options.ID = id
				c, err := azidentity.NewManagedIdentityCredential(&options)
				if err != nil {
					t.Fatal(err)
				}
				before := e.Stats().TokensIssued
				token := getToken(t, c, resource+"/.default")
				claims := checkToken(t, e, token.Token, p.ObjectID, resource)
				if claims["xms_mirid"] != p.ResourceID {
					t.Errorf("%s: xms_mirid %v", name, claims["xms_mirid"])
				}
				getToken(t, c, resource+"/.default")
				if got := e.Stats().TokensIssued - before; got != 1 {
					t.Errorf("%s: %d tokens for two GetToken, want 1", name, got)
				}
			}
			options.ID = nil
			c, err := azidentity.NewManagedIdentityCredential(&options)
			if err != nil {
				t.Fatal(err)
			}
			checkToken(t, e, getToken(t, c, resource+"/.default").Token, emulator.SystemIdentityObjectID, resource)
			options.ID = azidentity.ClientID(guid(t))
			if c, err = azidentity.NewManagedIdentityCredential(&options); err != nil {
				t.Fatal(err)
			}
			_, err = c.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
			var failed *azidentity.AuthenticationFailedError
			if !errors.As(err, &failed) {
				t.Errorf("unknown identity: got %v, want AuthenticationFailedError", err)
			}
		})
	}
}

// A program that knows nothing of the emulator reaches it by its environment.
func TestDefaultAzureCredential(t *testing.T) {
	p := managedIdentity(t)
	p.ResourceID, p.TokenLifetime = emulator.SystemIdentityResourceID, uncached
	e := emulator.RunT(t, emulator.Options{Principals: []emulator.Principal{p}})
	for name, value := range e.IdentityEnv() {
		t.Setenv(name, value)
	}
	c, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	const slash = "https://redis.azure.com/"
	checkToken(t, e, getToken(t, c, slash+"/.default").Token, p.ObjectID, slash)
}

func TestEnvironmentCredential(t *testing.T) {
	e := emulator.RunT(t)
	for name, value := range e.Env() {
		t.Setenv(name, value)
	}
	c, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: e.HTTPClient()}, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	checkToken(t, e, getToken(t, c, scope).Token, emulator.AppObjectID, "https://redis.azure.com")
}
