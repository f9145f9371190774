package credential_test

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

func TestClientSecret(t *testing.T) {
	em := start(t)
	s := toward(t, em)
	s.TenantID, s.ClientID, s.ClientSecret = em.TenantID(), em.Principal("app").ClientID, em.Principal("app").ClientSecret
	wantToken(t, em, credential.ClientSecret, s, "app")

	s.ClientSecret = "wrong"
	wantRefusal(t, credential.ClientSecret, s, "AADSTS7000215")
}

func TestClientCertificate(t *testing.T) {
	key, pkcs8, der := newRSA(t)
	fromOpenSSL, err := os.ReadFile("testdata/encrypted.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(fromOpenSSL)
	for block.Type != "CERTIFICATE" {
		block, rest = pem.Decode(rest)
	}
	_, _, otherDER := newRSA(t)
	em := start(t,
		emulator.Principal{Name: "generated", Kind: emulator.PrincipalApp, ObjectID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0001", ClientID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0002", Certificate: parse(t, der)},
		emulator.Principal{Name: "openssl", Kind: emulator.PrincipalApp, ObjectID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0003", ClientID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0004", Certificate: parse(t, block.Bytes)},
	)
	certificate := pemBlock("CERTIFICATE", der)
	for _, tt := range []struct {
		name, path, password, principal string
		chain                           bool
	}{
		{"PEM with PKCS#8 key", write(t, "a.pem", pemBlock("PRIVATE KEY", pkcs8), certificate), "", "generated", false},
		{"PEM with certificate first", write(t, "a.pem", certificate, pemBlock("PRIVATE KEY", pkcs8)), "", "generated", false},
		{"PEM with PKCS#1 key", write(t, "a.pem", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), certificate), "", "generated", false},
		{"PEM with text and chain", write(t, "a.pem", []byte("Bag Attributes\n"), pemBlock("CERTIFICATE", otherDER), certificate, pemBlock("PRIVATE KEY", pkcs8)), "", "generated", true},
		{"PEM with needless password", write(t, "a.pem", certificate, pemBlock("PRIVATE KEY", pkcs8)), "unused", "generated", false},
		{"encrypted PEM, AES-256 and SHA-256", "testdata/encrypted.pem", password, "openssl", false},
		{"encrypted PEM, AES-128 and SHA-1", "testdata/encrypted-sha1.pem", password, "openssl", false},
		{"PFX of OpenSSL 3", "testdata/modern.pfx", password, "openssl", true},
		{"PFX of OpenSSL 1", "testdata/legacy.pfx", password, "openssl", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := toward(t, em)
			s.TenantID, s.ClientID = em.TenantID(), em.Principal(tt.principal).ClientID
			s.CertificatePath, s.CertificatePassword, s.SendCertificateChain = tt.path, tt.password, tt.chain
			if strings.HasPrefix(tt.path, "testdata") && tt.principal != "openssl" {
				t.Fatal("wrong table")
			}
			wantToken(t, em, credential.ClientCertificate, s, tt.principal)
		})
	}

	t.Run("of another application", func(t *testing.T) {
		s := toward(t, em)
		s.TenantID, s.ClientID, s.CertificatePath, s.CertificatePassword = em.TenantID(), em.Principal("generated").ClientID, "testdata/modern.pfx", password
		wantRefusal(t, credential.ClientCertificate, s, "AADSTS7000")
	})
	t.Run("by environment", func(t *testing.T) {
		t.Setenv("AZURE_TENANT_ID", em.TenantID())
		t.Setenv("AZURE_CLIENT_ID", em.Principal("openssl").ClientID)
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", "testdata/modern.pfx")
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", password)
		wantToken(t, em, credential.Environment, toward(t, em), "openssl")
	})
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// federated is an application that trusts assertions signed with a key, as
// those of a Kubernetes cluster.
type federated struct {
	key       *rsa.PrivateKey
	principal emulator.Principal
}

func newFederated(t *testing.T) federated {
	t.Helper()
	key, _, _ := newRSA(t)
	return federated{key, emulator.Principal{
		Name: "pod", Kind: emulator.PrincipalApp,
		ObjectID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0005", ClientID: "6f6fb2b3-5a1a-4f4c-9f2a-5c0b6f4f0006",
		FederatedIssuer: "https://cluster.test/", FederatedSubject: "system:serviceaccount:default:app", FederatedKey: key.Public(),
	}}
}

func (f federated) assertion(t *testing.T, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": f.principal.FederatedIssuer, "sub": f.principal.FederatedSubject, "aud": []string{"api://AzureADTokenExchange"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	if change != nil {
		change(claims)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(f.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestClientAssertion(t *testing.T) {
	pod := newFederated(t)
	em := start(t, pod.principal)
	s := toward(t, em)
	s.TenantID, s.ClientID = em.TenantID(), pod.principal.ClientID

	t.Run("function", func(t *testing.T) {
		s := s
		calls := 0
		s.Assertion = func(context.Context) (string, error) { calls++; return pod.assertion(t, nil), nil }
		wantToken(t, em, credential.ClientAssertion, s, "pod")
		if calls != 1 {
			t.Errorf("asked for %d assertions, want 1", calls)
		}
	})
	t.Run("file is read again", func(t *testing.T) {
		s := s
		s.AssertionFile = write(t, "token", []byte("\n  "+pod.assertion(t, nil)+" \r\n"))
		cred, err := credential.New(credential.ClientAssertion, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := getToken(t, cred); err != nil {
			t.Fatalf("first assertion: %v", err)
		}
		replace := func(content string) {
			if err := os.WriteFile(s.AssertionFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		replace(pod.assertion(t, func(c jwt.MapClaims) { c["sub"] = "system:serviceaccount:default:other" }))
		if _, err := getToken(t, cred); err == nil || !strings.Contains(err.Error(), "AADSTS700") {
			t.Errorf("another subject's assertion: got %v, want AADSTS700...", err)
		}
		replace("")
		if _, err := getToken(t, cred); err == nil || !strings.Contains(err.Error(), "AssertionFile") {
			t.Errorf("empty file: got %v, want an error that names AssertionFile", err)
		}
		replace(pod.assertion(t, nil))
		if _, err := getToken(t, cred); err != nil {
			t.Errorf("file mended: %v", err)
		}
	})
}

func TestWorkloadIdentity(t *testing.T) {
	pod := newFederated(t)
	em := start(t, pod.principal)
	file := write(t, "token", []byte(pod.assertion(t, nil)))

	t.Run("settings", func(t *testing.T) {
		s := toward(t, em)
		s.TenantID, s.ClientID, s.AssertionFile = em.TenantID(), pod.principal.ClientID, file
		wantToken(t, em, credential.WorkloadIdentity, s, "pod")
	})
	t.Run("environment of the webhook", func(t *testing.T) {
		t.Setenv("AZURE_TENANT_ID", em.TenantID())
		t.Setenv("AZURE_CLIENT_ID", pod.principal.ClientID)
		t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
		t.Setenv("AZURE_AUTHORITY_HOST", em.IssuerURL()+"/")
		wantToken(t, em, credential.WorkloadIdentity, credential.Settings{CAFile: write(t, "ca.pem", em.CAPEM())}, "pod")
	})
}

func TestUsernamePassword(t *testing.T) {
	em := start(t)
	s := toward(t, em)
	ada := em.Principal("ada")
	s.TenantID, s.ClientID, s.Username, s.Password = em.TenantID(), developmentApp, ada.UPN, ada.Password
	wantToken(t, em, credential.UsernamePassword, s, "ada")

	t.Run("environment", func(t *testing.T) {
		t.Setenv("AZURE_TENANT_ID", em.TenantID())
		t.Setenv("AZURE_CLIENT_ID", developmentApp)
		t.Setenv("AZURE_USERNAME", ada.UPN)
		t.Setenv("AZURE_PASSWORD", ada.Password)
		wantToken(t, em, credential.Environment, toward(t, em), "ada")
	})
	s.Password = "wrong"
	wantRefusal(t, credential.UsernamePassword, s, "AADSTS50126")
}

func TestEnvironmentSecret(t *testing.T) {
	em := start(t)
	app := em.Principal("app")
	t.Setenv("AZURE_TENANT_ID", em.TenantID())
	t.Setenv("AZURE_CLIENT_ID", app.ClientID)
	t.Setenv("AZURE_CLIENT_SECRET", app.ClientSecret)
	// A secret goes before a certificate, as in azidentity.
	t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/no/such/file")
	wantToken(t, em, credential.Environment, toward(t, em), "app")
}

// An authority that Microsoft does not know must not be asked about at
// login.microsoftonline.com; Microsoft's own must.
func TestInstanceDiscovery(t *testing.T) {
	em := start(t)
	app := em.Principal("app")
	emulated := strings.TrimPrefix(em.IssuerURL(), "https://")
	base := credential.Settings{TenantID: em.TenantID(), ClientID: app.ClientID, ClientSecret: app.ClientSecret}
	for _, tt := range []struct {
		name, env string
		change    func(*credential.Settings)
		discovers string // the host asked first
	}{
		{"authority host", "", func(s *credential.Settings) { s.AuthorityHost = em.IssuerURL() }, emulated},
		{"environment", em.IssuerURL(), func(*credential.Settings) {}, emulated},
		{"cloud before environment", em.IssuerURL(), func(s *credential.Settings) { s.Cloud = "usgov" }, "login.microsoftonline.us"},
		{"public", "", func(s *credential.Settings) { s.Cloud = "public" }, "login.microsoftonline.com"},
		{"default", "", func(*credential.Settings) {}, "login.microsoftonline.com"},
		{"china", "", func(s *credential.Settings) { s.Cloud = "china" }, "login.chinacloudapi.cn"},
		{"known host", "", func(s *credential.Settings) { s.AuthorityHost = "https://login.microsoftonline.us" }, "login.microsoftonline.us"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("AZURE_AUTHORITY_HOST", tt.env)
			}
			tr := &transport{answer: noRoute}
			if tt.discovers == emulated {
				tr.answer = em.HTTPClient().Do
			}
			s := base
			s.Transport = tr
			tt.change(&s)
			ctx, cancel := context.WithCancel(t.Context())
			if tt.discovers != emulated {
				cancel() // one attempt shows the host; retries show no more
			}
			defer cancel()
			cred, err := credential.New(credential.ClientSecret, s)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cred.GetToken(ctx, tokenRequest)
			if (err == nil) != (tt.discovers == emulated) {
				t.Errorf("got error %v", err)
			}
			got := slices.Compact(tr.requests())
			if !slices.Equal(got, []string{tt.discovers}) {
				t.Errorf("asked hosts %q, want %q", got, tt.discovers)
			}
		})
	}
}
