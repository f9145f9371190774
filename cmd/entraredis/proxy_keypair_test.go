package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/internal/resp"
)

// writePair writes a certificate for 127.0.0.1 with that serial number.
func writePair(t *testing.T, cert, key string, serial int64) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "proxy"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Two writes may fall into one tick of the file system's clock.
		if err := os.Chtimes(path, time.Time{}, time.Unix(serial, 0)); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestListenerWithTLSAndPassword(t *testing.T) {
	dir := t.TempDir()
	cert, key, password := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := writePair(t, cert, key, 1)
	c, err := loaded(t, []string{"127.0.0.1:1", "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--proxy-password-file", password, "--credential", "azure-cli"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
	defer d.Shutdown()
	targets := c.daemonTargets(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler))
	d.Apply(targets)
	if err := d.Tried(t.Context()); err != nil {
		t.Fatal(err)
	}
	handshake := func(root *x509.Certificate) *tls.Conn {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AddCert(root)
		conn, err := tls.Dial("tcp", d.Status()[0].Listen[0], &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	conn := handshake(first)
	if _, err := conn.Write(resp.AppendCommand(resp.AppendCommand(nil, "PING"), "AUTH", "wrong")); err != nil {
		t.Fatal(err)
	}
	replies := resp.NewReader(conn)
	for _, want := range []string{"-NOAUTH", "-WRONGPASS"} {
		if got, err := replies.ReadFrame(); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
	second := writePair(t, cert, key, 2)
	handshake(second)
	// A pair that is none leaves the last good one in force.
	if err := os.WriteFile(key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	handshake(second)
}

func TestKeyPairErrors(t *testing.T) {
	p := &keyPair{cert: "no-such-file", key: "no-such-file", log: slog.New(slog.DiscardHandler)}
	if _, err := p.current(nil); err == nil {
		t.Error("got no error")
	}
}
