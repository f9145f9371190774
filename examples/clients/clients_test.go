package clients_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/examples/clients"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/mediocregopher/radix/v4"
)

const lifetime = 4 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil { // the tests mostly wait
		panic(err)
	}
	os.Exit(m.Run())
}

// TestDialer holds each client on one Dialer for more than two lifetimes of a
// token.
func TestDialer(t *testing.T) {
	for name, open := range map[string]func(context.Context, *entraredis.Dialer, string) (echo, error){
		"go-redis": func(ctx context.Context, d *entraredis.Dialer, addr string) (echo, error) {
			c := clients.GoRedis(d, addr)
			return func(value string) (string, error) { return c.Echo(ctx, value).Result() }, nil
		},
		"rueidis": func(ctx context.Context, d *entraredis.Dialer, addr string) (echo, error) {
			c, err := clients.Rueidis(d, addr)
			return func(value string) (string, error) {
				return c.Do(ctx, c.B().Echo().Message(value).Build()).ToString()
			}, err
		},
		"valkey-go": func(ctx context.Context, d *entraredis.Dialer, addr string) (echo, error) {
			c, err := clients.Valkey(d, addr)
			return func(value string) (string, error) {
				return c.Do(ctx, c.B().Echo().Message(value).Build()).ToString()
			}, err
		},
		"redigo": func(ctx context.Context, d *entraredis.Dialer, addr string) (echo, error) {
			pool := clients.Redigo(d, addr)
			return func(value string) (string, error) {
				c, err := pool.GetContext(ctx)
				if err != nil {
					return "", err
				}
				defer c.Close()
				return redigo.String(redigo.DoContext(c, ctx, "ECHO", value))
			}, nil
		},
		"radix": func(ctx context.Context, d *entraredis.Dialer, addr string) (echo, error) {
			c, err := clients.Radix(ctx, d, addr)
			return func(value string) (got string, err error) {
				return got, c.Do(ctx, radix.Cmd(&got, "ECHO", value))
			}, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			em, source := start(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			say, err := open(ctx, &entraredis.Dialer{Source: source, TLSConfig: em.TLSConfig()}, em.RedisAddr())
			if err != nil {
				t.Fatal(err)
			}
			hold(ctx, t, em, say)
			if got := em.Stats().Expired; got != 0 {
				t.Errorf("connections closed at expiry: got %d, want 0", got)
			}
			if got := em.Stats().Reauths; got == 0 {
				t.Error("re-AUTHs: got 0, want some")
			}
		})
	}
}

// TestCredentials shows what the Dialer is for: new connections are
// authenticated, and none outlives its token.
func TestCredentials(t *testing.T) {
	t.Parallel()
	em, source := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := clients.GoRedisCredentials(source, em.RedisAddr(), em.TLSConfig())
	defer c.Close()
	hold(ctx, t, em, func(value string) (string, error) { return c.Echo(ctx, value).Result() })
	stats := em.Stats()
	if stats.Expired == 0 || stats.Reauths != 0 {
		t.Errorf("got %d connections closed at expiry and %d re-AUTHs, want some and none", stats.Expired, stats.Reauths)
	}
}

type echo func(value string) (string, error)

// hold uses the client, a command at a time, until the emulator has issued
// enough tokens for two to have expired.
func hold(ctx context.Context, t *testing.T, em *emulator.Emulator, say echo) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(5 * lifetime / 2)
	for em.Stats().TokensIssued < 3 || time.Now().Before(end) {
		if got, err := say("hello"); err != nil || got != "hello" {
			t.Fatalf("got %q and error %v, want %q", got, err, "hello")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the Source did not refresh its token")
		}
	}
}

func start(t *testing.T) (*emulator.Emulator, *entraredis.Source) {
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
