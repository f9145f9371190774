package credential_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/credential"
)

const (
	tenant   = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	client   = "11111111-2222-3333-4444-555555555555"
	password = "correct horse"
)

// noAzure unsets every variable that azidentity reads, so that a test means
// the same on every machine.
func noAzure(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") || name == "IMDS_ENDPOINT" {
			t.Setenv(name, "") // restores the value at the end of the test
			os.Unsetenv(name)
		}
	}
}

func write(t *testing.T, name string, content ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, bytes.Join(content, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// newCertificate returns a self-signed certificate for key, in DER.
func newCertificate(t *testing.T, public, private any) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newRSA(t *testing.T) (key *rsa.PrivateKey, pkcs8, cert []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err = x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pkcs8, newCertificate(t, key.Public(), key)
}

func TestSettingErrors(t *testing.T) {
	noAzure(t)
	_, pkcs8, cert := newRSA(t)
	_, otherKey, _ := newRSA(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	plain := write(t, "plain.pem", pemBlock("PRIVATE KEY", pkcs8), pemBlock("CERTIFICATE", cert))
	secret := credential.Settings{TenantID: tenant, ClientID: client, ClientSecret: "hunter2"}
	app := credential.Settings{TenantID: tenant, ClientID: client}
	withCertificate := func(path, password string) credential.Settings {
		return credential.Settings{TenantID: tenant, ClientID: client, CertificatePath: path, CertificatePassword: password}
	}
	change := func(s credential.Settings, f func(*credential.Settings)) credential.Settings { f(&s); return s }
	authorityOf := func(host string) credential.Settings {
		return change(secret, func(s *credential.Settings) { s.AuthorityHost = host })
	}

	for _, tt := range []struct {
		name     string
		kind     credential.Kind
		settings credential.Settings
		setting  string
		flag     string
		says     []string // in the error
	}{
		{"no kind", "", app, "Kind", "kind", []string{"is not set", "client-secret"}},
		{"unknown kind", "client-secert", app, "Kind", "kind", []string{`did you mean "client-secret"?`, "workload-identity"}},
		{"kind in part", "cli", app, "Kind", "kind", []string{`did you mean "client-`}},
		{"alien kind", "zzzzzzzzzz", app, "Kind", "kind", []string{"is not known (choose one of"}},
		{"secret without tenant", credential.ClientSecret, credential.Settings{ClientID: client, ClientSecret: "x"}, "TenantID", "tenant-id", []string{"is not set", "directory (tenant) ID"}},
		{"secret without client", credential.ClientSecret, credential.Settings{TenantID: tenant, ClientSecret: "x"}, "ClientID", "client-id", []string{"is not set"}},
		{"secret without secret", credential.ClientSecret, app, "ClientSecret", "client-secret", []string{"is not set", "value (not the ID)"}},
		{"tenant as URL", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.TenantID = "https://login/x" }), "TenantID", "tenant-id", []string{"no tenant ID"}},
		{"tenant in CLI", credential.AzureCLI, credential.Settings{TenantID: "a b"}, "TenantID", "tenant-id", []string{"no tenant ID"}},
		{"secret with CLI", credential.AzureCLI, credential.Settings{ClientSecret: "x"}, "ClientSecret", "client-secret", []string{"not used by this kind", "choose a kind that uses it: client-secret"}},
		{"cloud with CLI", credential.AzureCLI, credential.Settings{Cloud: "usgov"}, "Cloud", "cloud", []string{"az cloud set"}},
		{"authority with azd", credential.AzureDeveloperCLI, credential.Settings{AuthorityHost: "https://x"}, "AuthorityHost", "authority-host", []string{"azd config"}},
		{"CA with managed identity", credential.ManagedIdentity, credential.Settings{CAFile: "ca.pem"}, "CAFile", "ca-file", []string{"remove it"}},
		{"tenant with managed identity", credential.ManagedIdentity, credential.Settings{TenantID: tenant}, "TenantID", "tenant-id", []string{"not used"}},
		{"secret with environment", credential.Environment, credential.Settings{ClientSecret: "x"}, "ClientSecret", "client-secret", []string{"AZURE_CLIENT_SECRET"}},
		{"two identities", credential.ManagedIdentity, credential.Settings{ClientID: client, ObjectID: client}, "ObjectID", "object-id", []string{"together with ClientID"}},
		{"two other identities", credential.ManagedIdentity, credential.Settings{ResourceID: "/subscriptions/x", ObjectID: client}, "ResourceID", "resource-id", []string{"together with ObjectID"}},
		{"two identities in the default chain", credential.Default, credential.Settings{ClientID: client, ResourceID: "/subscriptions/x"}, "ResourceID", "resource-id", []string{"together with ClientID"}},
		{"unknown cloud", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.Cloud = "AzureUSGov" }), "Cloud", "cloud", []string{`did you mean "usgov"?`, "public, china, usgov"}},
		{"cloud and authority", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.Cloud, s.AuthorityHost = "public", "https://x" }), "AuthorityHost", "authority-host", []string{"together with Cloud"}},
		{"http authority", credential.ClientSecret, authorityOf("http://login.test"), "AuthorityHost", "authority-host", []string{"is not an https URL", "https://"}},
		{"authority without scheme", credential.ClientSecret, authorityOf("login.microsoftonline.us"), "AuthorityHost", "authority-host", []string{"is not an https URL"}},
		{"authority without host", credential.ClientSecret, authorityOf("https://"), "AuthorityHost", "authority-host", []string{"has no host"}},
		{"authority with tenant", credential.ClientSecret, authorityOf("https://login.test/" + tenant), "AuthorityHost", "authority-host", []string{"holds a path", "TenantID"}},
		{"authority with password", credential.ClientSecret, authorityOf("https://u:hunter2@login.test"), "AuthorityHost", "authority-host", []string{"holds more than a host"}},
		{"authority that is no URL", credential.ClientSecret, authorityOf("https://u:hunter2@login.test:%zz"), "AuthorityHost", "authority-host", []string{"is not a URL"}},
		{"CA file missing", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.CAFile = "/no/such/ca.pem" }), "CAFile", "ca-file", []string{"cannot be read", "/no/such/ca.pem"}},
		{"CA file not PEM", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.CAFile = write(t, "ca.cer", cert) }), "CAFile", "ca-file", []string{"no PEM certificate", "openssl x509"}},
		{"CA file and transport", credential.ClientSecret, change(secret, func(s *credential.Settings) { s.CAFile, s.Transport = "ca.pem", http.DefaultClient }), "CAFile", "ca-file", []string{"together with Transport"}},
		{"certificate missing", credential.ClientCertificate, withCertificate("/no/such.pem", ""), "CertificatePath", "certificate-path", []string{"cannot be read"}},
		{"certificate not given", credential.ClientCertificate, app, "CertificatePath", "certificate-path", []string{"is not set"}},
		{"certificate of garbage", credential.ClientCertificate, withCertificate(write(t, "x.pfx", []byte("garbage")), ""), "CertificatePath", "certificate-path", []string{"neither PEM nor a PFX"}},
		{"PEM without key", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("CERTIFICATE", cert)), ""), "CertificatePath", "certificate-path", []string{"has no private key"}},
		{"PEM without certificate", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("PRIVATE KEY", pkcs8)), ""), "CertificatePath", "certificate-path", []string{"has no certificate"}},
		{"PEM with two keys", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("PRIVATE KEY", pkcs8), pemBlock("PRIVATE KEY", otherKey), pemBlock("CERTIFICATE", cert)), ""), "CertificatePath", "certificate-path", []string{"more than one private key"}},
		{"PEM with another key", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("PRIVATE KEY", otherKey), pemBlock("CERTIFICATE", cert)), ""), "CertificatePath", "certificate-path", []string{"key doesn't match any certificate"}},
		{"PEM with broken key", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("PRIVATE KEY", pkcs8[:40]), pemBlock("CERTIFICATE", cert)), ""), "CertificatePath", "certificate-path", []string{"cannot be read"}},
		{"PEM with broken certificate", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("CERTIFICATE", cert[:40])), ""), "CertificatePath", "certificate-path", []string{"cannot be read"}},
		{"elliptic curve key", credential.ClientCertificate, withCertificate(write(t, "x.pem", pemBlock("PRIVATE KEY", ecKey), pemBlock("CERTIFICATE", newCertificate(t, ec.Public(), ec))), ""), "CertificatePath", "certificate-path", []string{"RSA"}},
		{"PEM key password missing", credential.ClientCertificate, withCertificate("testdata/encrypted.pem", ""), "CertificatePassword", "certificate-password", []string{"is not set", "encrypted"}},
		{"PEM key password wrong", credential.ClientCertificate, withCertificate("testdata/encrypted.pem", "wrong"), "CertificatePassword", "certificate-password", []string{"does not decrypt"}},
		{"PEM key in OpenSSL's encryption", credential.ClientCertificate, withCertificate("testdata/traditional.pem", password), "CertificatePath", "certificate-path", []string{"openssl pkcs8 -topk8"}},
		{"PFX password wrong", credential.ClientCertificate, withCertificate("testdata/modern.pfx", "wrong"), "CertificatePassword", "certificate-password", []string{"does not decrypt"}},
		{"PFX password missing", credential.ClientCertificate, withCertificate("testdata/legacy.pfx", ""), "CertificatePassword", "certificate-password", []string{"is not set"}},
		{"PFX without key", credential.ClientCertificate, withCertificate("testdata/nokey.pfx", password), "CertificatePath", "certificate-path", []string{"private key missing"}},
		{"secret beside certificate", credential.ClientCertificate, change(withCertificate(plain, ""), func(s *credential.Settings) { s.ClientSecret = "x" }), "ClientSecret", "client-secret", []string{"not used"}},
		{"no assertion", credential.ClientAssertion, app, "AssertionFile", "assertion-file", []string{"is not set"}},
		{"assertion file missing", credential.ClientAssertion, change(app, func(s *credential.Settings) { s.AssertionFile = "/no/such/token" }), "AssertionFile", "assertion-file", []string{"cannot be read"}},
		{"assertion file empty", credential.ClientAssertion, change(app, func(s *credential.Settings) { s.AssertionFile = write(t, "token", []byte(" \n")) }), "AssertionFile", "assertion-file", []string{"is empty"}},
		{"two assertions", credential.ClientAssertion, change(app, func(s *credential.Settings) { s.AssertionFile, s.Assertion = "token", noAssertion }), "AssertionFile", "assertion-file", []string{"together with Assertion"}},
		{"workload without tenant", credential.WorkloadIdentity, credential.Settings{}, "TenantID", "tenant-id", []string{"AZURE_TENANT_ID", "azure.workload.identity/use"}},
		{"workload without file", credential.WorkloadIdentity, app, "AssertionFile", "assertion-file", []string{"AZURE_FEDERATED_TOKEN_FILE"}},
		{"workload file missing", credential.WorkloadIdentity, change(app, func(s *credential.Settings) { s.AssertionFile = "/no/such/token" }), "AssertionFile", "assertion-file", []string{"cannot be read"}},
		{"user without password", credential.UsernamePassword, change(app, func(s *credential.Settings) { s.Username = "ada" }), "Password", "password", []string{"is not set"}},
		{"user without client", credential.UsernamePassword, credential.Settings{TenantID: tenant, Username: "ada", Password: "x"}, "ClientID", "client-id", []string{"is not set"}},
		{"redirect elsewhere", credential.InteractiveBrowser, credential.Settings{RedirectURL: "https://example.com"}, "RedirectURL", "redirect-url", []string{"http://localhost"}},
		{"hint with device code", credential.DeviceCode, credential.Settings{LoginHint: "ada"}, "LoginHint", "login-hint", []string{"not used", "interactive-browser"}},
		{"empty environment", credential.Environment, credential.Settings{}, "AZURE_CLIENT_SECRET", "", []string{"AZURE_CLIENT_CERTIFICATE_PATH"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := credential.New(tt.kind, tt.settings)
			var se *credential.SettingError
			if !errors.As(err, &se) {
				t.Fatalf("got credential %v and error %v, want a *SettingError", cred, err)
			}
			if cred != nil {
				t.Errorf("got a credential beside the error: %v", cred)
			}
			if se.Setting != tt.setting || se.Flag() != tt.flag {
				t.Errorf("got setting %q, flag %q, want %q, %q: %v", se.Setting, se.Flag(), tt.setting, tt.flag, err)
			}
			if wantKind := tt.kind; se.Kind != wantKind && tt.setting != "Kind" {
				t.Errorf("got kind %q, want %q", se.Kind, wantKind)
			}
			if got, want := se.Unused, strings.Contains(err.Error(), "not used"); got != want {
				t.Errorf("got Unused %v, want %v: %v", got, want, err)
			}
			if se.Remedy == "" {
				t.Errorf("no remedy in %v", err)
			}
			for _, want := range append(tt.says, se.Setting) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error shows a secret: %v", err)
			}
		})
	}
}

func TestEnvironmentSettingErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    credential.Kind
		env     map[string]string
		setting string
	}{
		{"no tenant", credential.Environment, map[string]string{"AZURE_CLIENT_ID": client, "AZURE_CLIENT_SECRET": "x"}, "AZURE_TENANT_ID"},
		{"no client", credential.Environment, map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_SECRET": "x"}, "AZURE_CLIENT_ID"},
		{"no password", credential.Environment, map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_USERNAME": "ada"}, "AZURE_PASSWORD"},
		{"no certificate", credential.Environment, map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_CERTIFICATE_PATH": "/no/such"}, "AZURE_CLIENT_CERTIFICATE_PATH"},
		{"certificate password", credential.Environment, map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_CERTIFICATE_PATH": "testdata/modern.pfx"}, "AZURE_CLIENT_CERTIFICATE_PASSWORD"},
		{"authority", credential.DeviceCode, map[string]string{"AZURE_AUTHORITY_HOST": "http://login.test"}, "AZURE_AUTHORITY_HOST"},
		{"selection", credential.Default, map[string]string{"AZURE_TOKEN_CREDENTIALS": "everything"}, "AZURE_TOKEN_CREDENTIALS"},
		{"workload client", credential.WorkloadIdentity, map[string]string{"AZURE_TENANT_ID": tenant}, "ClientID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noAzure(t)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, err := credential.New(tt.kind, credential.Settings{})
			var se *credential.SettingError
			if !errors.As(err, &se) || se.Setting != tt.setting || se.Kind != tt.kind || se.Remedy == "" {
				t.Errorf("got %v, want a *SettingError for %s with a remedy", err, tt.setting)
			}
		})
	}
}

func TestSettingErrorCause(t *testing.T) {
	_, err := credential.New(credential.ClientSecret, credential.Settings{TenantID: tenant, ClientID: client, ClientSecret: "x", CAFile: "/no/such/ca.pem"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want an error that unwraps to fs.ErrNotExist", err)
	}
}

// Settings that are complete must not be refused, whatever the kind. This also
// keeps the rules and Kinds in step.
func TestCompleteSettings(t *testing.T) {
	noAzure(t)
	token := write(t, "token", []byte("e30.e30.x"))
	hooks := credential.Settings{
		OpenBrowser: func(string) error { return nil },
		Transport:   http.DefaultClient,
	}
	complete := map[credential.Kind]func(*credential.Settings){
		credential.WorkloadIdentity: func(s *credential.Settings) { s.TenantID, s.ClientID, s.AssertionFile = tenant, client, token },
		credential.ManagedIdentity:  func(s *credential.Settings) { s.ObjectID = client },
		credential.ClientSecret:     func(s *credential.Settings) { s.TenantID, s.ClientID, s.ClientSecret = tenant, client, "x" },
		credential.ClientCertificate: func(s *credential.Settings) {
			s.TenantID, s.ClientID, s.CertificatePath, s.CertificatePassword = tenant, client, "testdata/modern.pfx", password
		},
		credential.ClientAssertion: func(s *credential.Settings) { s.TenantID, s.ClientID, s.Assertion = tenant, client, noAssertion },
		credential.UsernamePassword: func(s *credential.Settings) {
			s.TenantID, s.ClientID, s.Username, s.Password = tenant, client, "ada", "x"
		},
	}
	t.Setenv("AZURE_TENANT_ID", tenant)
	t.Setenv("AZURE_CLIENT_ID", client)
	t.Setenv("AZURE_CLIENT_SECRET", "x")
	for _, kind := range credential.Kinds() {
		s := hooks
		if f := complete[kind]; f != nil {
			f(&s)
		}
		if cred, err := credential.New(kind, s); err != nil || cred == nil {
			t.Errorf("%s: got %v, %v, want a credential", kind, cred, err)
		}
	}
}

func TestFlagNames(t *testing.T) {
	want := []string{
		"tenant-id", "client-id", "client-secret", "certificate-path", "certificate-password", "send-certificate-chain",
		"assertion-file", "assertion", "object-id", "resource-id", "username", "password", "redirect-url", "login-hint",
		"device-code-prompt", "open-browser", "cloud", "authority-host", "ca-file", "disable-instance-discovery",
		"additionally-allowed-tenants", "transport",
	}
	var got []string
	typ := reflect.TypeFor[credential.Settings]()
	for i := range typ.NumField() {
		got = append(got, credential.FlagName(typ.Field(i).Name))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every text field whose name speaks of a secret is filled and must not
// appear, so that a field added later is not forgotten.
func TestSettingsHideSecrets(t *testing.T) {
	s := credential.Settings{TenantID: tenant, DisableInstanceDiscovery: true, Transport: http.DefaultClient, Assertion: noAssertion}
	v := reflect.ValueOf(&s).Elem()
	filled := 0
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.String && (strings.Contains(name, "Secret") || strings.Contains(name, "Password")) {
			v.Field(i).SetString("hunter2")
			filled++
		}
	}
	if filled != 3 {
		t.Fatalf("filled %d secrets, want 3", filled)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "settings", s, "pointer", &s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "settings", s)
	shown := []string{log.String(), s.String(), s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, struct{ S credential.Settings }{s}))
	}
	for _, text := range shown {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e746572") {
			t.Errorf("secret shown in %s", text)
		}
		if !strings.Contains(text, tenant) || !strings.Contains(text, "redacted") {
			t.Errorf("got %s, want the tenant and a mark of redaction", text)
		}
	}
}
