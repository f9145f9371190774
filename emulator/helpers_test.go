package emulator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	jwtlib "github.com/golang-jwt/jwt/v5"

	"github.com/entraredis/entraredis/emulator"
)

const scope = "https://redis.azure.com/.default"

func clientOptions(e *emulator.Emulator) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: e.IssuerURL()},
		Transport: e.HTTPClient(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func getToken(t *testing.T, credential azcore.TokenCredential, scope string) azcore.AccessToken {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// checkToken verifies the signature with the published keys, as a resource
// would, and that the token is of the object ID and for the audience.
func checkToken(t *testing.T, e *emulator.Emulator, token, objectID, audience string) jwtlib.MapClaims {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, Kty, N, E string }
	}
	if status := getJSON(t, e, e.IssuerURL()+"/"+e.TenantID()+"/discovery/v2.0/keys", &set); status != http.StatusOK || len(set.Keys) != 1 {
		t.Fatalf("keys: status %d, %d keys", status, len(set.Keys))
	}
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(b)
	}
	claims := jwtlib.MapClaims{}
	parser := jwtlib.NewParser(jwtlib.WithValidMethods([]string{"RS256"}), jwtlib.WithTimeFunc(e.Now))
	_, err := parser.ParseWithClaims(token, claims, func(parsed *jwtlib.Token) (any, error) {
		if parsed.Header["kid"] != set.Keys[0].Kid {
			t.Errorf("kid %v is not published", parsed.Header["kid"])
		}
		return &rsa.PublicKey{N: number(set.Keys[0].N), E: int(number(set.Keys[0].E).Int64())}, nil
	})
	if err != nil {
		t.Fatalf("token does not verify: %v", err)
	}
	for name, want := range map[string]any{
		"oid": objectID, "aud": audience, "tid": e.TenantID(), "ver": "1.0",
		"iss": "https://sts.windows.net/" + e.TenantID() + "/",
	} {
		if claims[name] != want {
			t.Errorf("claim %s: got %v, want %v", name, claims[name], want)
		}
	}
	return claims
}

func getJSON(t *testing.T, e *emulator.Emulator, target string, into any) (status int) {
	t.Helper()
	response, err := e.HTTPClient().Get(target)
	if err != nil {
		t.Fatal(err)
	}
	return readJSON(t, response, into)
}

func readJSON(t *testing.T, response *http.Response, into any) (status int) {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return response.StatusCode
}

// askToken posts to the token endpoint.
func askToken(t *testing.T, e *emulator.Emulator, tenant string, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	response, err := e.HTTPClient().Post(e.IssuerURL()+"/"+tenant+"/oauth2/v2.0/token",
		"application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	return readJSON(t, response, &answer), answer
}

// guid returns a fresh ID: azidentity caches managed identity tokens for the
// whole process.
func guid(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
