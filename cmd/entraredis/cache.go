package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
)

// cacheOptions are the flags of every command that connects to a cache.
type cacheOptions struct {
	redisUsername, serverName, cacheCAFile string
	plaintext                              bool
	connectTimeout, authTimeout            between
}

func newCacheOptions() cacheOptions {
	return cacheOptions{
		connectTimeout: between{value: 5 * time.Second, min: 100 * time.Millisecond, max: time.Minute},
		authTimeout:    between{value: 15 * time.Second, min: 100 * time.Millisecond, max: time.Minute},
	}
}

func (o *cacheOptions) register(f *pflag.FlagSet) {
	f.StringVar(&o.redisUsername, "redis-username", "", "Redis `username` to use (default the token's object ID)")
	f.StringVar(&o.serverName, "server-name", "", "host `name` that the cache's certificate must hold (default HOST)")
	f.StringVar(&o.cacheCAFile, "cache-ca-file", "", "PEM `file` of a CA to trust for the cache, beside the system's (default that of --ca-file)")
	f.BoolVar(&o.plaintext, "plaintext", false, "do without TLS to the cache, which Azure never accepts")
	f.Var(&o.connectTimeout, "connect-timeout", "bound on TCP and on TLS, each")
	f.Var(&o.authTimeout, "auth-timeout", "bound on AUTH; the service may take 10s")
}

// tls trusts a CA of the user's for the cache, that for the issuer by default:
// nil if there is none.
func (o *cacheOptions) tls(flags *pflag.FlagSet, issuerCAFile string) (*tls.Config, error) {
	name, path := "cache-ca-file", o.cacheCAFile
	if path == "" {
		name, path = "ca-file", issuerCAFile
	}
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{err: fmt.Errorf("%s: %w", origin(flags, name), err), hint: "give the path of a PEM file"}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &usageError{err: fmt.Errorf("%s: %s holds no PEM certificate", origin(flags, name), path), hint: "give the path of a PEM file"}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}
