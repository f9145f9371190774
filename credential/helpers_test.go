package credential_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

const (
	scope          = "https://redis.azure.com/.default"
	developmentApp = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // the Azure CLI's application, for users
)

var tokenRequest = policy.TokenRequestOptions{Scopes: []string{scope}}

func noAssertion(context.Context) (string, error) { return "", errors.New("not to be called") }

// start runs an emulator. Its tokens live for less than the five minutes that
// azidentity asks of a cached token, so every GetToken is a request: the cache
// of managed identity tokens is one for the whole process and would otherwise
// answer one test with the token of another.
func start(t *testing.T, principals ...emulator.Principal) *emulator.Emulator {
	t.Helper()
	noAzure(t)
	return emulator.RunT(t, emulator.Options{TokenLifetime: 4 * time.Minute, Principals: append(emulator.DefaultPrincipals(), principals...)})
}

// toward returns settings with which a credential reaches the emulator's
// issuer as a user would configure it: by URL and CA file.
func toward(t *testing.T, em *emulator.Emulator) credential.Settings {
	t.Helper()
	return credential.Settings{AuthorityHost: em.IssuerURL(), CAFile: write(t, "ca.pem", em.CAPEM())}
}

func request(t *testing.T, kind credential.Kind, s credential.Settings) (azcore.AccessToken, error) {
	t.Helper()
	cred, err := credential.New(kind, s)
	if err != nil {
		t.Fatalf("New(%s, %v): %v", kind, s, err)
	}
	return getToken(t, cred)
}

func getToken(t *testing.T, cred azcore.TokenCredential) (azcore.AccessToken, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return cred.GetToken(ctx, tokenRequest)
}

// wantToken requests a token and checks that the emulator issued it just now,
// for the principal.
func wantToken(t *testing.T, em *emulator.Emulator, kind credential.Kind, s credential.Settings, principal string) {
	t.Helper()
	before := em.Stats().TokensIssued
	token, err := request(t, kind, s)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if got, want := objectID(t, token.Token), em.Principal(principal).ObjectID; got != want {
		t.Errorf("%s: got a token for object ID %s, want %s of %s", kind, got, want, principal)
	}
	if got := em.Stats().TokensIssued - before; got != 1 {
		t.Errorf("%s: the emulator issued %d tokens, want 1", kind, got)
	}
	if token.ExpiresOn.IsZero() {
		t.Errorf("%s: token without expiry", kind)
	}
}

// wantRefusal requests a token and checks that the error says why not.
func wantRefusal(t *testing.T, kind credential.Kind, s credential.Settings, says string) {
	t.Helper()
	token, err := request(t, kind, s)
	if err == nil {
		t.Fatalf("%s: got a token for %s, want an error with %q", kind, objectID(t, token.Token), says)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("%s: got %v, want an error with %q", kind, err, says)
	}
}

func objectID(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts, want 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ObjectID string `json:"oid"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.ObjectID
}

// program puts a shell script on the PATH. Its directory comes first, so it
// stands in for an installed program of the name.
func program(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// trusting returns a client that trusts the certificates in a file.
func trusting(file string) *http.Client {
	roots := x509.NewCertPool()
	certificates, err := os.ReadFile(file)
	if err != nil || !roots.AppendCertsFromPEM(certificates) {
		panic("no certificates in " + file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// transport answers requests with a function, and remembers their hosts.
type transport struct {
	answer func(*http.Request) (*http.Response, error)

	mu    sync.Mutex
	hosts []string
}

func (tr *transport) Do(r *http.Request) (*http.Response, error) {
	tr.mu.Lock()
	tr.hosts = append(tr.hosts, r.URL.Host)
	tr.mu.Unlock()
	return tr.answer(r)
}

func (tr *transport) requests() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return append([]string(nil), tr.hosts...)
}

var errNoRoute = errors.New("no route to host")

func noRoute(*http.Request) (*http.Response, error) { return nil, errNoRoute }
