package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPrincipalsThatOneEmulatorPrintsAreReadByAnother(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	data, err := json.Marshal(principalViews(e, nil))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "principals.json")
	writeFile(t, path, data)
	got, err := readPrincipals(path)
	if want := emulator.DefaultPrincipals(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestPrincipalFilesAreRelativeToTheirList(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	// The certificate stands behind another block, as where a key comes first.
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	writeFile(t, filepath.Join(dir, "public.pem"), publicPEM)
	writeFile(t, filepath.Join(dir, "cert.pem"), append(publicPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...))
	list := filepath.Join(dir, "principals.json")
	writeFile(t, list, []byte(`[{"name": "a", "kind": "app", "object_id": "1", "certificate_file": "cert.pem",
		"federated_key_file": "public.pem", "token_lifetime": "5s"}]`))

	got, err := readPrincipals(list)
	if err != nil {
		t.Fatal(err)
	}
	p := got[0]
	if p.Certificate == nil || p.Certificate.SerialNumber.Int64() != 1 || !key.PublicKey.Equal(p.FederatedKey) || p.TokenLifetime != 5*time.Second {
		t.Errorf("got %+v", p)
	}
}

func TestBadPrincipals(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "empty.pem"), nil)
	for name, text := range map[string]string{
		"no list": `{}`, "empty list": `[]`, "no name": `[{"kind": "app", "object_id": "1"}]`, "no object ID": `[{"name": "a", "kind": "app"}]`,
		"bad lifetime":   `[{"name": "a", "kind": "app", "object_id": "1", "token_lifetime": "5"}]`,
		"no certificate": `[{"name": "a", "kind": "app", "object_id": "1", "certificate_file": "empty.pem"}]`,
		"no key":         `[{"name": "a", "kind": "app", "object_id": "1", "federated_key_file": "empty.pem"}]`,
		"no file":        `[{"name": "a", "kind": "app", "object_id": "1", "certificate_file": "missing.pem"}]`,
	} {
		path := filepath.Join(dir, "principals.json")
		writeFile(t, path, []byte(text))
		if got, err := readPrincipals(path); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}
