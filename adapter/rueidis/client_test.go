package rueidisentra_test

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
	rueidisentra "github.com/entraredis/entraredis/adapter/rueidis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/redis/rueidis"
)

// start returns an emulator whose tokens live for lifetime, a Source over its
// principal "app", and a client over that Source.
func start(t *testing.T, lifetime time.Duration) (*emulator.Emulator, *entraredis.Source, rueidis.Client) {
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
	client, err := rueidis.NewClient(rueidisentra.Option(source, rueidis.ClientOption{
		InitAddress:       []string{em.RedisAddr()},
		TLSConfig:         em.TLSConfig(),
		ForceSingleClient: true,
		DisableCache:      true,
		DisableRetry:      true,
		PipelineMultiplex: -1, // one connection
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return em, source, client
}

// load keeps commands coming until stop says so, and returns how many failed.
func load(t *testing.T, c rueidis.Client, stop func() bool) (done, failed uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var ok, bad atomic.Uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop() && ctx.Err() == nil {
				if err := c.Do(ctx, c.B().Set().Key("key").Value("value").Build()).Error(); err != nil {
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

func TestLiveConnectionIsReauthenticated(t *testing.T) {
	em, _, c := start(t, 4*time.Second)
	done, failed := load(t, c, func() bool { return em.Stats().Reauths >= 3 })
	if failed != 0 || done == 0 {
		t.Errorf("commands: got %d done and %d failed, want none failed", done, failed)
	}
	stats := em.Stats()
	if stats.Accepted != 1 || stats.Expired != 0 {
		t.Errorf("connections: got %d accepted and %d expired, want 1 and 0", stats.Accepted, stats.Expired)
	}
}

func TestIssuerFaultAtRefreshFailsNoCommand(t *testing.T) {
	em, source, c := start(t, 6*time.Second)
	clearFault := em.SetFault(emulator.Fault{Endpoint: "token", Status: http.StatusServiceUnavailable, Body: "{}"})
	defer clearFault()

	done, failed := load(t, c, func() bool { return source.Status().Failures >= 2 })
	clearFault()
	more, failedToo := load(t, c, func() bool { return em.Stats().Reauths >= 2 })
	if failed+failedToo != 0 || done == 0 || more == 0 {
		t.Errorf("commands: got %d and %d done, %d and %d failed, want none failed", done, more, failed, failedToo)
	}
	stats := em.Stats()
	if stats.Accepted != 1 || stats.Expired != 0 {
		t.Errorf("connections: got %d accepted and %d expired, want 1 and 0", stats.Accepted, stats.Expired)
	}
	if stats.Auths > stats.TokensIssued {
		t.Errorf("AUTHs: got %d for %d tokens, want at most one for each", stats.Auths, stats.TokensIssued)
	}
}

func TestSubscriberOutlivesItsToken(t *testing.T) {
	em, _, c := start(t, 4*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Receive(ctx, c.B().Subscribe().Channel("news").Build(), func(m rueidis.PubSubMessage) {
			select {
			case heard <- m.Message:
			default:
			}
		})
	}()
	hear := func() {
		t.Helper()
		select {
		case <-heard:
		case err := <-ended:
			t.Fatalf("subscription ended: %v", err)
		}
	}
	publish := func() bool {
		return c.Do(ctx, c.B().Publish().Channel("news").Message("news").Build()).Error() == nil && em.Stats().Reauths >= 3
	}
	for !publish() {
		select {
		case err := <-ended:
			t.Fatalf("subscription ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the connections were not re-AUTHed")
		case <-heard:
		case <-time.After(50 * time.Millisecond):
		}
	}
	publish()
	hear()
	if got := em.Stats().Expired; got != 0 {
		t.Errorf("connections closed at expiry: got %d, want 0", got)
	}
	cancel()
	<-ended
}
