package goredis_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/adapter/goredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/redis/go-redis/v9"
)

// start returns an emulator whose tokens live for lifetime, and a Source over
// its principal "app".
func start(t *testing.T, lifetime time.Duration) (*emulator.Emulator, *entraredis.Source) {
	t.Helper()
	em := emulator.RunT(t, emulator.Options{TokenLifetime: lifetime})
	app := em.Principal("app")
	credential, err := azidentity.NewClientSecretCredential(em.TenantID(), app.ClientID, app.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{
			ClientOptions: azcore.ClientOptions{
				Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: em.IssuerURL()},
				Transport: em.HTTPClient(),
			},
			DisableInstanceDiscovery: true,
		})
	if err != nil {
		t.Fatal(err)
	}
	source, err := entraredis.New(credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return em, source
}

func client(t *testing.T, em *emulator.Emulator, source *entraredis.Source) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr:                         em.RedisAddr(),
		TLSConfig:                    em.TLSConfig(),
		StreamingCredentialsProvider: goredis.New(source),
		PoolSize:                     6,
		MaxRetries:                   -1,
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// load keeps commands coming until stop says so, and returns how many failed.
func load(t *testing.T, c *redis.Client, stop func() bool) (done, failed uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var ok, bad atomic.Uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop() && ctx.Err() == nil {
				if err := c.Set(ctx, "key", "value", 0).Err(); err != nil {
					if bad.Add(1) == 1 {
						t.Logf("first failure: %v", err)
					}
					continue
				}
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("the load did not end: what it waited for did not happen")
	}
	return ok.Load(), bad.Load()
}

func TestLiveConnectionsAreReauthenticated(t *testing.T) {
	em, source := start(t, 4*time.Second)
	c := client(t, em, source)
	done, failed := load(t, c, func() bool { return em.Stats().TokensIssued >= 4 })
	if failed != 0 || done == 0 {
		t.Errorf("commands: got %d done and %d failed, want none failed", done, failed)
	}
	if got := em.Stats().Reauths; got == 0 {
		t.Error("re-AUTHs: got 0, want some")
	}
}

func TestIssuerFaultAtRefreshFailsNoCommand(t *testing.T) {
	em, source := start(t, 6*time.Second)
	c := client(t, em, source)
	if err := c.Ping(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	clearFault := em.SetFault(emulator.Fault{Endpoint: "token", Status: http.StatusServiceUnavailable, Body: "{}"})
	defer clearFault()

	done, failed := load(t, c, func() bool { return source.Status().Failures >= 2 })
	clearFault()
	more, failedToo := load(t, c, func() bool { return em.Stats().TokensIssued >= 3 })
	if failed+failedToo != 0 || done == 0 || more == 0 {
		t.Errorf("commands: got %d and %d done, %d and %d failed, want none failed", done, more, failed, failedToo)
	}
	// One AUTH per connection and token, and two (HELLO AUTH) per dial.
	stats := em.Stats()
	if limit := 2*stats.Accepted + stats.TokensIssued*6; uint64(stats.Auths) > uint64(limit) {
		t.Errorf("AUTHs: got %d, want at most %d for %d connections and %d tokens", stats.Auths, limit, stats.Accepted, stats.TokensIssued)
	}
	if stats.AuthsRefused != 0 {
		t.Errorf("AUTHs refused: got %d, want 0", stats.AuthsRefused)
	}
}

// The limits that doc.go names are go-redis's own. When this test fails, they
// have been lifted, and doc.go and docs/clients.md are to say since when.
func TestStreamingProviderPanicsInConn(t *testing.T) {
	em, source := start(t, time.Hour)
	c := client(t, em, source)
	defer func() {
		if recover() == nil {
			t.Error("Client.Conn with an empty pool did not panic")
		}
	}()
	conn := c.Conn()
	defer conn.Close()
	_ = conn.Ping(context.Background())
}

func TestDialerServesConnAndWatch(t *testing.T) {
	em, source := start(t, time.Hour)
	dialer := &entraredis.Dialer{Source: source, TLSConfig: em.TLSConfig()}
	c := redis.NewClient(&redis.Options{Addr: em.RedisAddr(), Dialer: dialer.DialContext})
	defer c.Close()
	ctx := context.Background()

	conn := c.Conn()
	defer conn.Close()
	if err := conn.Ping(ctx).Err(); err != nil {
		t.Errorf("Conn: %v", err)
	}
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			return p.Incr(ctx, "counter").Err()
		})
		return err
	}, "counter")
	if err != nil {
		t.Errorf("Watch: %v", err)
	}
}
