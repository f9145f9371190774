package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/doctor"
)

// cacheOptions are the flags of every command that connects to a cache.
type cacheOptions struct {
	credentialOptions
	serverName, cacheCAFile, redisUsername string
	configFile                             string
	plaintext                              bool
	connectTimeout, authTimeout            between
}

func newCacheOptions() cacheOptions {
	return cacheOptions{
		credentialOptions: newCredentialOptions(),
		connectTimeout:    between{value: 15 * time.Second, min: 100 * time.Millisecond, max: time.Minute},
		authTimeout:       between{value: 15 * time.Second, min: 100 * time.Millisecond, max: time.Minute},
	}
}

func (o *cacheOptions) register(f *pflag.FlagSet) {
	o.registerIdentity(f)
	f.StringVar(&o.cacheCAFile, "cache-ca-file", "", "PEM `file` of a CA to trust for the cache, beside the system's (default that of --ca-file)")
	f.BoolVar(&o.plaintext, "plaintext", false, "do without TLS, which Azure never accepts")
	f.Var(&o.connectTimeout, "connect-timeout", "bound on TCP and TLS together")
	f.Var(&o.authTimeout, "auth-timeout", "bound on AUTH; the service may take 10s")
	o.credentialOptions.register(f)
}

// registerIdentity registers what tells of the cache without connecting to it.
func (o *cacheOptions) registerIdentity(f *pflag.FlagSet) {
	f.StringVar(&o.redisUsername, "redis-username", "", "Redis `username` (default the token's object ID)")
	f.StringVar(&o.serverName, "server-name", "", "host `name` that the cache's certificate must hold (default HOST)")
}

// tls trusts a CA of the user's for the cache, that for the issuer by default:
// nil if there is none.
func (o *cacheOptions) tls(flags *pflag.FlagSet) (*tls.Config, error) {
	name, path := "cache-ca-file", o.cacheCAFile
	if path == "" {
		name, path = "ca-file", o.settings.CAFile
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

// targetAddr completes HOST or HOST:PORT; example is a whole command line for
// the hint.
func targetAddr(target, example string) (string, error) {
	addr, err := doctor.TargetAddr(target)
	if wrong, ok := errors.AsType[*doctor.TargetError](err); ok {
		return "", &usageError{err: wrong, hint: "for example: " + example}
	}
	return addr, err
}

// registerConfig is for the commands that use one cache.
func (o *cacheOptions) registerConfig(f *pflag.FlagSet) {
	f.StringVar(&o.configFile, configFlag, "", "YAML `file` of the proxy, for settings; HOST may be the name of a target in it")
}

// target returns what the user calls the cache, HOST or HOST:PORT: wanted, or
// the address of the target of that name in the file, whose settings the flags
// then have.
func (o *cacheOptions) target(flags *pflag.FlagSet, wanted string) (string, error) {
	if o.configFile == "" {
		return wanted, nil
	}
	entry, err := useConfig(flags, o.configFile, wanted)
	return entry.Addr, err
}

// address is target, completed with the port.
func (o *cacheOptions) address(flags *pflag.FlagSet, wanted, example string) (string, error) {
	wanted, err := o.target(flags, wanted)
	if err != nil {
		return "", err
	}
	return targetAddr(wanted, example)
}

// source returns a Source of the credential's tokens, which the caller closes.
func (o *credentialOptions) source(s streams, flags *pflag.FlagSet, options entraredis.Options) (*entraredis.Source, error) {
	cred, err := o.credential(s, flags)
	if err != nil {
		return nil, err
	}
	options.Scope, options.RequestTimeout = o.scope, o.bound()
	source, err := entraredis.New(cred, &options)
	if err != nil {
		return nil, &usageError{
			err:  fmt.Errorf("%s: %s", origin(flags, "scope"), strings.TrimPrefix(err.Error(), "entraredis: ")),
			hint: "leave it out for " + entraredis.DefaultScope,
		}
	}
	return source, nil
}

// maxIdle is within the 10 minutes behind which Azure closes an idle connection.
const maxIdle = 8 * time.Minute

// dialer returns a Dialer with a Source of its own, which the caller closes.
func (o *cacheOptions) dialer(s streams, flags *pflag.FlagSet, options entraredis.Options) (*entraredis.Dialer, error) {
	options.Username = o.redisUsername
	tlsConfig, err := o.tls(flags)
	if err != nil {
		return nil, err
	}
	source, err := o.source(s, flags, options)
	if err != nil {
		return nil, err
	}
	return &entraredis.Dialer{
		Source: source, ServerName: o.serverName, TLSConfig: tlsConfig, Plaintext: o.plaintext,
		ConnectTimeout: o.connectTimeout.value, AuthTimeout: o.authTimeout.value, MaxIdle: maxIdle,
	}, nil
}

// reachable opens one connection to the cache and closes it again: whoever
// depends on the cache is better not started if that does not work.
func reachable(ctx context.Context, d *entraredis.Dialer, addr string) error {
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
