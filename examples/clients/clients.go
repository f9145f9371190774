// Package clients holds, for each Go client of Redis, the lines that put it on
// an [entraredis.Dialer]. docs/clients.md shows them; the test beside this file
// runs them against the emulator.
package clients

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/entraredis/entraredis"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/mediocregopher/radix/v4"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/valkey-io/valkey-go"
)

// GoRedis also serves NewFailoverClient and NewClusterClient, whose options
// have the same Dialer field.
func GoRedis(dialer *entraredis.Dialer, addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:        addr,
		Dialer:      dialer.DialContext,
		DialTimeout: 20 * time.Second,
	})
}

// GoRedisCredentials asks the Source for each new connection, and leaves live
// ones alone.
func GoRedisCredentials(source *entraredis.Source, addr string, config *tls.Config) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                       addr,
		TLSConfig:                  config,
		CredentialsProviderContext: source.Credentials,
		ReadTimeout:                15 * time.Second,
	})
}

// Rueidis leaves authentication to the Dialer, RESP3 included.
func Rueidis(dialer *entraredis.Dialer, addr string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{addr},
		Dialer:            net.Dialer{Timeout: 20 * time.Second},
		DisableCache:      true, // unless the access policy permits CLIENT TRACKING
		ForceSingleClient: true, // not with the OSS clustering policy
		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr)
		},
	})
}

// Valkey is Rueidis under other names.
func Valkey(dialer *entraredis.Dialer, addr string) (valkey.Client, error) {
	return valkey.NewClient(valkey.ClientOption{
		InitAddress:       []string{addr},
		Dialer:            net.Dialer{Timeout: 20 * time.Second},
		DisableCache:      true, // unless the access policy permits CLIENT TRACKING
		ForceSingleClient: true, // not with the OSS clustering policy
		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr)
		},
	})
}

// Redigo needs no MaxConnLifetime: its connections do not end with a token.
func Redigo(dialer *entraredis.Dialer, addr string) *redigo.Pool {
	return &redigo.Pool{
		DialContext: func(ctx context.Context) (redigo.Conn, error) {
			return redigo.DialContext(ctx, "tcp", addr, redigo.DialContextFunc(dialer.DialContext))
		},
		MaxIdle: 10,
	}
}

// Radix takes the Dialer as it is.
func Radix(ctx context.Context, dialer *entraredis.Dialer, addr string) (radix.Client, error) {
	config := radix.PoolConfig{Dialer: radix.Dialer{NetDialer: dialer}}
	return config.New(ctx, "tcp", addr)
}
