package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// nobody is an address on which nothing listens: a connection there is refused.
const nobody = "127.0.0.1:1"

// A gate is the way from a credential to the issuer. It counts token requests, tells of them before they leave, and can
// make the issuer refuse connections.
type gate struct {
	transport *http.Transport
	issuer    *url.URL
	refusing  atomic.Bool
	requests  atomic.Int64

	mu      sync.Mutex
	onToken func() // called before a token request leaves; nil: not called
}

func newGate(e *emulator.Emulator) *gate {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.CAPEM())
	issuer, err := url.Parse(e.IssuerURL())
	if err != nil {
		panic(err) // the emulator made it
	}
	g := &gate{issuer: issuer}
	var dialer net.Dialer
	g.transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		// Each request dials, so that a refused connection is refused by the kernel and not simulated.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if g.refusing.Load() {
				addr = nobody
			}
			return dialer.DialContext(ctx, network, addr)
		},
	}
	return g
}

func (g *gate) client() *http.Client { return &http.Client{Transport: g} }

// timeout bounds the wait for an answer, as a client-side time-out does. It must be set before the first request.
func (g *gate) timeout(d time.Duration) { g.transport.ResponseHeaderTimeout = d }

// beforeToken sets what to call before each token request leaves.
func (g *gate) beforeToken(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onToken = fn
}

// RoundTrip implements [http.RoundTripper].
func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	// MSAL asks Microsoft's own host about authorities it does not know, and go-redis-entraid has no option against it.
	if r.URL.Host == "login.microsoftonline.com" && strings.HasSuffix(r.URL.Path, "/discovery/instance") {
		return g.discovery(r)
	}
	if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
		g.requests.Add(1)
		g.mu.Lock()
		fn := g.onToken
		g.mu.Unlock()
		if fn != nil {
			fn()
		}
	}
	return g.transport.RoundTrip(r)
}

// discovery answers that the authority asked for is its own tenant discovery host.
func (g *gate) discovery(r *http.Request) (*http.Response, error) {
	tenant := "common"
	if u, err := url.Parse(r.URL.Query().Get("authorization_endpoint")); err == nil {
		if first, _, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); ok {
			tenant = first
		}
	}
	body, err := json.Marshal(map[string]any{
		"tenant_discovery_endpoint": g.issuer.String() + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": g.issuer.Host, "preferred_cache": g.issuer.Host, "aliases": []string{g.issuer.Host},
		}},
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// fail makes the issuer fail in the given way until clear is called.
func (w *world) fail(kind string) (clear func()) {
	switch kind {
	case "503":
		return w.emulator.SetFault(emulator.Fault{
			Endpoint: "token", Status: http.StatusServiceUnavailable, Body: `{"error":"temporarily_unavailable"}`,
		})
	case "refused":
		w.gate.refusing.Store(true)
		return func() { w.gate.refusing.Store(false) }
	case "timeout", "hang":
		return w.emulator.SetFault(emulator.Fault{Endpoint: "token", Hang: true})
	}
	return func() {}
}
