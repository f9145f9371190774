package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// hostName is the name in the server's certificate.
const hostName = "bench.redis.test"

// tokenSize is that of the tokens that direct clients send, in bytes: what Entra's have when an identity is in some groups.
const tokenSize = 2048

// A world is a real redis-server, an issuer, and the programs under test. Redis takes any password of the user that the tokens are for,
// which costs it no more than a check of ours would: what is measured is the way of the token, not its signature.
type world struct {
	dir        string
	entraredis string // the program, built from this tree
	certFile   string
	roots      *x509.CertPool
	plain, tls string // addresses of Redis
	redis      *process
	issuer     *emulator.Emulator
	front      bool          // proxies reach Redis through the emulator, which ends a connection with its token
	token      string        // of tokenSize
	hosts      atomic.Uint32 // see nextHost
}

// objectID is the user of the tokens that the issuer hands to the environment's credential.
const objectID = emulator.AppObjectID

// newWorld starts all that the paths need but the proxies.
func newWorld(ctx context.Context, tokens emulator.Options, front bool) (_ *world, err error) {
	w, err := emptyWorld()
	if err != nil {
		return nil, err
	}
	if w.front = front; front {
		tokens.Backend = func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", w.plain) }
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := buildProgram(ctx, w.entraredis); err != nil {
		return nil, fmt.Errorf("build entraredis: %w", err)
	}
	keyFile := filepath.Join(w.dir, "key.pem")
	if w.roots, err = writeCertificate(w.certFile, keyFile); err != nil {
		return nil, err
	}
	if w.issuer, err = emulator.Start(ctx, tokens); err != nil {
		return nil, err
	}
	if err := os.WriteFile(w.issuerCA(), w.issuer.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	w.token = w.issuer.Mint("app", nil)
	if missing := tokenSize - len(w.token); missing > 0 {
		// Base64 makes four bytes of three.
		w.token = w.issuer.Mint("app", func(c map[string]any) { c["groups"] = strings.Repeat("g", missing*3/4-len(`,"groups":""`)) })
	}
	if err := w.configure(keyFile); err != nil {
		return nil, err
	}
	return w, w.startRedis(ctx)
}

func emptyWorld() (*world, error) {
	dir, err := os.MkdirTemp("", "entraredis-bench-")
	return &world{dir: dir, entraredis: filepath.Join(dir, "entraredis"), certFile: filepath.Join(dir, "cert.pem")}, err
}

func (w *world) issuerCA() string { return filepath.Join(w.dir, "issuer.pem") }

// buildProgram builds entraredis with the requirements of its own module: those of this one lack what only the program needs.
func buildProgram(ctx context.Context, file string) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/entraredis/entraredis")
	list.Stderr = os.Stderr
	dir, err := list.Output()
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", file, "./cmd/entraredis")
	build.Dir, build.Stderr = strings.TrimSpace(string(dir)), os.Stderr
	return build.Run()
}

// configure writes the configuration of Redis.
func (w *world) configure(keyFile string, more ...string) error {
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	w.plain, w.tls = addrs[0], addrs[1]
	lines := append([]string{
		"bind 127.0.0.1", "protected-mode no", // which takes 127.0.0.1 alone for this machine
		"port " + port(w.plain), "tls-port " + port(w.tls),
		"tls-cert-file " + w.certFile, "tls-key-file " + keyFile, "tls-ca-cert-file " + w.certFile, "tls-auth-clients no",
		`save ""`, "maxclients 20000", "dir " + w.dir, "loglevel warning", "tcp-backlog 4096",
		"user default on nopass ~* &* +@all", "user " + objectID + " on nopass ~* &* +@all",
	}, more...)
	return os.WriteFile(w.redisConfig(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func (w *world) redisConfig() string { return filepath.Join(w.dir, "redis.conf") }

// startRedis starts Redis, or starts it again on its old addresses.
func (w *world) startRedis(ctx context.Context) error {
	server := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if server == "" {
		server = "redis-server"
	}
	server, err := tool(server, "redis-server")
	if err != nil {
		return err
	}
	w.redis, err = start(ctx, "redis-server", nil, []string{w.plain, w.tls}, server, w.redisConfig())
	return err
}

// close ends what newWorld started and removes its files.
func (w *world) close() {
	w.redis.stop()
	if w.issuer != nil {
		_ = w.issuer.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// env has azidentity ask our issuer.
func (w *world) env() []string {
	env := []string{"ENTRAREDIS_CA_FILE=" + w.issuerCA(), "ENTRAREDIS_DISABLE_INSTANCE_DISCOVERY=true"}
	for name, value := range w.issuer.Env() {
		env = append(env, name+"="+value)
	}
	return env
}

// clientTLS is what a direct client needs to trust the server. No sessions are kept: most clients keep none.
func (w *world) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: hostName, MinVersion: tls.VersionTLS12}
}

// port is that of an address made by freeAddrs.
func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// lasting are tokens that are not refreshed while anything is measured.
var lasting = emulator.Options{TokenLifetime: 24 * time.Hour}
