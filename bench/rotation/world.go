package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// A world is one emulator and the transport by which the contestant reaches its issuer.
type world struct {
	emulator  *emulator.Emulator
	gate      *gate
	plaintext bool
}

// newWorld starts the emulator and takes http.DefaultTransport over for its issuer.
func newWorld(ctx context.Context, lifetime time.Duration, plaintext bool) (*world, error) {
	e, err := emulator.Start(ctx, emulator.Options{TokenLifetime: lifetime, Plaintext: plaintext})
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	w := &world{emulator: e, gate: newGate(e), plaintext: plaintext}
	http.DefaultTransport = w.gate
	return w, nil
}

// tlsConfig is what a client needs to trust the emulator, nil on a plaintext port.
func (w *world) tlsConfig() *tls.Config {
	if w.plaintext {
		return nil
	}
	return w.emulator.TLSConfig()
}

// open starts the contestant in this world.
func (w *world) open(name string) (fit, error) {
	c, err := contestantNamed(name)
	if err != nil {
		return fit{}, err
	}
	f, err := c.fit(w)
	if err != nil {
		return fit{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// expiry is when the first of the open connections' tokens expires.
func (w *world) expiry() (time.Time, error) {
	var first time.Time
	for _, c := range w.emulator.Connections() {
		if !c.TokenExpiry.IsZero() && (first.IsZero() || c.TokenExpiry.Before(first)) {
			first = c.TokenExpiry
		}
	}
	if first.IsZero() {
		return first, errors.New("no connection is authenticated")
	}
	return first, nil
}

// warm opens n connections in client's pool, by keeping n blocking reads in flight at the same time.
func warm(ctx context.Context, client redis.UniversalClient, n int) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := client.BLPop(ctx, time.Second, fmt.Sprintf("warm-%d", i)).Err()
			if !errors.Is(err, redis.Nil) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("warming the pool: %w", err)
	}
	return nil
}

// silenceClients turns go-redis's own log off: it writes a line for each connection its pool rejects.
func silenceClients() { redis.SetLogger(&logging.VoidLogger{}) }

// clientVersions are the versions of the modules under test, as linked.
func clientVersions() map[string]string {
	short := map[string]string{
		"github.com/redis/go-redis/v9":                               "go-redis",
		"github.com/redis/go-redis-entraid":                          "go-redis-entraid",
		"github.com/Azure/azure-sdk-for-go/sdk/azidentity":           "azidentity",
		"github.com/AzureAD/microsoft-authentication-library-for-go": "msal",
	}
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, dep := range info.Deps {
		if name, ok := short[dep.Path]; ok {
			versions[name] = strings.TrimPrefix(dep.Version, "v")
		}
	}
	return versions
}
