package demo

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	jwtlib "github.com/golang-jwt/jwt/v5"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

// The identities of the demo; a principal of its own for each client lets the
// emulator's counts be told apart.
const (
	secretApp      = "app-with-secret"
	certificateApp = "app-with-certificate"
	workloadApp    = "app-with-workload-identity"
	plainApp       = "app-by-hand"

	clientSecret = "demo-secret-of-no-value"

	clusterIssuer  = "https://cluster.demo.entraredis.test/"
	clusterSubject = "system:serviceaccount:demo:idle"
)

// stage is the emulator, the files that credentials read, and the credentials.
type stage struct {
	emulator *emulator.Emulator
	dir      string // holds the CA, a certificate and a service account token
	sources  []*entraredis.Source
}

func newStage(ctx context.Context, lifetime time.Duration) (_ *stage, err error) {
	st := &stage{}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.dir, err = os.MkdirTemp("", "entraredis-demo-"); err != nil {
		return nil, err
	}
	certificate, err := st.writeCertificate()
	if err != nil {
		return nil, fmt.Errorf("make client certificate: %w", err)
	}
	clusterKey, err := st.writeServiceAccountToken()
	if err != nil {
		return nil, fmt.Errorf("make service account token: %w", err)
	}
	app := func(name string, n int) emulator.Principal {
		return emulator.Principal{
			Name: name, Kind: emulator.PrincipalApp, Policy: emulator.PolicyDataOwner,
			ObjectID: fmt.Sprintf("de300000-0000-4000-8000-0000000000%02d", n),
			ClientID: fmt.Sprintf("de300000-0000-4000-9000-0000000000%02d", n),
		}
	}
	bySecret, byCertificate, byWorkload, byHand := app(secretApp, 1), app(certificateApp, 2), app(workloadApp, 3), app(plainApp, 4)
	bySecret.ClientSecret, byHand.ClientSecret = clientSecret, clientSecret
	byCertificate.Certificate = certificate
	byWorkload.FederatedIssuer, byWorkload.FederatedSubject, byWorkload.FederatedKey = clusterIssuer, clusterSubject, clusterKey
	st.emulator, err = emulator.Start(context.WithoutCancel(ctx), emulator.Options{
		TokenLifetime: lifetime,
		Principals:    []emulator.Principal{bySecret, byCertificate, byWorkload, byHand},
	})
	if err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	if err := os.WriteFile(st.path("ca.pem"), st.emulator.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	return st, nil
}

func (st *stage) path(name string) string { return filepath.Join(st.dir, name) }

func (st *stage) close() {
	for _, s := range st.sources {
		s.Close()
	}
	if st.emulator != nil {
		st.emulator.Close()
	}
	os.RemoveAll(st.dir)
}

// credential returns what a program on Azure would use, pointed at the
// emulator's issuer the way a private cloud is.
func (st *stage) credential(kind credential.Kind, principal string) (azcore.TokenCredential, error) {
	s := credential.Settings{
		TenantID:      st.emulator.TenantID(),
		ClientID:      st.emulator.Principal(principal).ClientID,
		AuthorityHost: st.emulator.IssuerURL(),
		CAFile:        st.path("ca.pem"),
	}
	switch kind {
	case credential.ClientSecret:
		s.ClientSecret = clientSecret
	case credential.ClientCertificate:
		s.CertificatePath = st.path("client.pem")
	case credential.WorkloadIdentity:
		s.AssertionFile = st.path("serviceaccount.jwt")
	}
	return credential.New(kind, s)
}

// dialer returns a Dialer over a Source that has its first token.
func (st *stage) dialer(ctx context.Context, kind credential.Kind, principal string) (*entraredis.Dialer, error) {
	cred, err := st.credential(kind, principal)
	if err != nil {
		return nil, err
	}
	source, err := entraredis.New(cred, nil)
	if err != nil {
		return nil, err
	}
	st.sources = append(st.sources, source)
	if _, err := source.Token(ctx); err != nil {
		return nil, err
	}
	return &entraredis.Dialer{Source: source, TLSConfig: st.emulator.TLSConfig(), ServerName: st.emulator.Host()}, nil
}

// openConnections is how many of our connections the emulator has open.
func (st *stage) openConnections() (n uint64) {
	byHand := st.emulator.Principal(plainApp).ObjectID
	for _, c := range st.emulator.Connections() {
		if c.Username != byHand {
			n++
		}
	}
	return n
}

func (st *stage) writeCertificate() (*x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: certificateApp},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	certificate, err := x509.ParseCertificate(der)
	return certificate, errors.Join(err, os.WriteFile(st.path("client.pem"), text, 0o600))
}

// writeServiceAccountToken does the part of a Kubernetes cluster in workload
// identity: it signs a token for the pod's service account and projects it
// into a file.
func (st *stage) writeServiceAccountToken() (*rsa.PublicKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	token, err := jwtlib.NewWithClaims(jwtlib.SigningMethodRS256, jwtlib.MapClaims{
		"iss": clusterIssuer, "sub": clusterSubject, "aud": []string{"api://AzureADTokenExchange"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(30 * 24 * time.Hour).Unix(),
	}).SignedString(key)
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, os.WriteFile(st.path("serviceaccount.jwt"), []byte(token), 0o600)
}
