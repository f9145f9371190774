package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// principalView is a principal in the file of --principals and in the JSON
// output: the output of one emulator can be the input of the next.
type principalView struct {
	Name             string `json:"name"`
	Kind             string `json:"kind"`
	ObjectID         string `json:"object_id"`
	ClientID         string `json:"client_id,omitempty"`
	ClientSecret     string `json:"client_secret,omitempty"`
	UPN              string `json:"upn,omitempty"`
	Password         string `json:"password,omitempty"`
	ResourceID       string `json:"resource_id,omitempty"`
	Policy           string `json:"policy,omitempty"`
	TokenLifetime    string `json:"token_lifetime,omitempty"`
	CertificateFile  string `json:"certificate_file,omitempty"`
	FederatedIssuer  string `json:"federated_issuer,omitempty"`
	FederatedSubject string `json:"federated_subject,omitempty"`
	FederatedKeyFile string `json:"federated_key_file,omitempty"`
}

var principalKinds = []emulator.PrincipalKind{emulator.PrincipalUser, emulator.PrincipalApp, emulator.PrincipalManagedIdentity}

func readPrincipals(path string) ([]emulator.Principal, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var views []principalView
	if err := dec.Decode(&views); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(views) == 0 {
		return nil, fmt.Errorf("%s: no principals", path)
	}
	var principals []emulator.Principal
	for i, v := range views {
		p, err := v.principal(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("%s: principal %d (%q): %w", path, i+1, v.Name, err)
		}
		principals = append(principals, p)
	}
	return principals, nil
}

// principal reads the files v names relative to dir.
func (v principalView) principal(dir string) (p emulator.Principal, err error) {
	kind := emulator.PrincipalKind(v.Kind)
	switch {
	case v.Name == "":
		return p, errors.New("name is missing")
	case !slices.Contains(principalKinds, kind):
		return p, fmt.Errorf("kind %q is none of %q", v.Kind, principalKinds)
	case v.ObjectID == "":
		return p, errors.New("object_id is missing")
	}
	p = emulator.Principal{
		Name: v.Name, Kind: kind, ObjectID: v.ObjectID, ClientID: v.ClientID, ClientSecret: v.ClientSecret,
		UPN: v.UPN, Password: v.Password, ResourceID: v.ResourceID, Policy: v.Policy,
		FederatedIssuer: v.FederatedIssuer, FederatedSubject: v.FederatedSubject,
	}
	if v.TokenLifetime != "" {
		if p.TokenLifetime, err = time.ParseDuration(v.TokenLifetime); err != nil {
			return p, fmt.Errorf("token_lifetime: %w", err)
		}
	}
	if v.CertificateFile != "" {
		if p.Certificate, err = readCertificate(inDir(dir, v.CertificateFile)); err != nil {
			return p, fmt.Errorf("certificate_file: %w", err)
		}
	}
	if v.FederatedKeyFile != "" {
		if p.FederatedKey, err = readPublicKey(inDir(dir, v.FederatedKeyFile)); err != nil {
			return p, fmt.Errorf("federated_key_file: %w", err)
		}
	}
	return p, nil
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func readCertificate(path string) (*x509.Certificate, error) {
	block, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(block)
}

func readPublicKey(path string) (crypto.PublicKey, error) {
	block, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	return x509.ParsePKIXPublicKey(block)
}

// readPEM returns the first block of that type: a file often holds a key beside its certificate.
func readPEM(path, blockType string) ([]byte, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%s holds no PEM block %q", path, blockType)
		}
		if block.Type == blockType {
			return block.Bytes, nil
		}
	}
}

// principalViews lists the emulator's principals in the order they were given.
func principalViews(e *emulator.Emulator, options []emulator.Principal) []principalView {
	if options == nil {
		options = emulator.DefaultPrincipals()
	}
	var views []principalView
	for _, named := range options {
		p := e.Principal(named.Name)
		v := principalView{
			Name: p.Name, Kind: string(p.Kind), ObjectID: p.ObjectID, ClientID: p.ClientID, ClientSecret: p.ClientSecret,
			UPN: p.UPN, Password: p.Password, ResourceID: p.ResourceID, Policy: p.Policy,
			FederatedIssuer: p.FederatedIssuer, FederatedSubject: p.FederatedSubject,
		}
		if p.TokenLifetime > 0 {
			v.TokenLifetime = p.TokenLifetime.String()
		}
		views = append(views, v)
	}
	return views
}
