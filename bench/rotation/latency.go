package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/bench/internal/latency"
	"github.com/entraredis/entraredis/emulator"
)

// latencyRun is the settings of rotation latency.
type latencyRun struct {
	Connections int           `json:"connections"`
	Rate        int           `json:"rate"` // commands per second, over all connections
	Lifetime    time.Duration `json:"lifetime"`
	Wanted      int           `json:"wanted_rotations"`
}

// latencyReport is what --json prints.
type latencyReport struct {
	Machine machine `json:"machine"`
	latencyRun
	Rotations   []measured `json:"rotations"`
	MedianRatio float64    `json:"median_ratio"`
	MedianNoise float64    `json:"median_noise"`
	Failed      int64      `json:"failed"`
	FirstError  string     `json:"first_error,omitempty"`
	Dropped     uint64     `json:"dropped"`
	Misses      []string   `json:"misses,omitempty"`

	during, quiet []latency.Sample
}

func latencySettings(short bool) latencyRun {
	r := latencyRun{Connections: 1000, Rate: 1000, Lifetime: 40 * time.Second, Wanted: 5}
	if short {
		r.Lifetime, r.Wanted = 20*time.Second, 3
	}
	return r
}

// runLatency measures, prints, and returns errMissed if a bar was missed.
func runLatency(ctx context.Context, w io.Writer, f flags) error {
	r, err := latencySettings(f.short).run(ctx)
	if err != nil {
		return err
	}
	if f.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		printLatency(w, r)
	}
	if len(r.Misses) > 0 {
		return errMissed
	}
	return nil
}

func (s latencyRun) run(ctx context.Context) (r latencyReport, err error) {
	server, err := startNeighbor(ctx, s.Lifetime)
	if err != nil {
		return r, err
	}
	var stats emulator.Stats
	defer func() {
		if err != nil {
			_, _ = server.stop()
		}
	}()
	seen := &timeline{wanted: s.Wanted}
	source, roots, err := server.source(seen.note)
	if err != nil {
		return r, err
	}
	defer source.Close()
	dialer := &entraredis.Dialer{Source: source, ServerName: server.ServerName, TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	conns, err := dialAll(ctx, dialer, server.RedisAddr, s.Connections)
	if err != nil {
		return r, err
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()

	// As long as the latest refreshes allow, and some quiet time.
	limit := time.Duration(s.Wanted+1)*s.Lifetime + 10*time.Second
	running, stop := context.WithTimeout(ctx, limit)
	defer stop()
	l := &latency.Load{Conns: conns, Every: time.Second / time.Duration(s.Rate), Started: time.Now()}
	seen.begin(l.Started, stop)
	l.Run(running)
	end := time.Since(l.Started)
	if err := ctx.Err(); err != nil {
		return r, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	rotations, next := seen.complete()
	if next > 0 {
		end = next - latency.Edge
	}
	r = latencyReport{Machine: thisMachine(), latencyRun: s}
	var first error
	if r.Failed, first = l.Failures(); first != nil {
		r.FirstError = first.Error()
	}
	r.Rotations, r.during, r.quiet = measure(rotations, l.Samples(), end)
	r.MedianRatio = middle(r.Rotations, func(m measured) float64 { return m.Ratio })
	r.MedianNoise = middle(r.Rotations, func(m measured) float64 { return m.Noise })
	if stats, err = server.stop(); err != nil {
		return r, fmt.Errorf("emulator: %w", err)
	}
	r.Dropped = stats.Expired
	r.Misses = r.misses()
	return r, nil
}

// source is a Source over azidentity, whose tokens come from the emulator in the other process.
func (n *neighbor) source(onEvent func(entraredis.Event)) (*entraredis.Source, *x509.CertPool, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(n.CA) {
		return nil, nil, errors.New("emulator: no certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	credential, err := azidentity.NewClientSecretCredential(n.TenantID, emulator.AppClientID, emulator.AppClientSecret,
		&azidentity.ClientSecretCredentialOptions{
			ClientOptions: policy.ClientOptions{
				Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: n.IssuerURL},
				Transport: client,
			},
			DisableInstanceDiscovery: true,
		})
	if err != nil {
		return nil, nil, err
	}
	source, err := entraredis.New(credential, &entraredis.Options{OnEvent: onEvent})
	return source, roots, err
}

func dialAll(ctx context.Context, d *entraredis.Dialer, addr string, n int) ([]net.Conn, error) {
	conns := make([]net.Conn, 0, n)
	for range n {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// A timeline makes rotations of a Source's events.
type timeline struct {
	wanted int

	mu        sync.Mutex // guards the rest
	started   time.Time
	stop      func()
	rotations []latency.Rotation
}

// begin has rotations counted from now on, and stop called when the wanted ones are complete and another begins.
func (t *timeline) begin(now time.Time, stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started, t.stop = now, stop
}

// note is the Source's OnEvent.
func (t *timeline) note(e entraredis.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started.IsZero() || e.Time.Before(t.started) {
		return
	}
	at := e.Time.Sub(t.started)
	switch {
	case e.Type == entraredis.EventRefreshed:
		t.rotations = append(t.rotations, latency.Rotation{Begin: at, End: at})
		if len(t.rotations) > t.wanted {
			t.stop()
		}
	case e.Type == entraredis.EventReauthenticated && len(t.rotations) > 0:
		last := &t.rotations[len(t.rotations)-1]
		last.End = at
		last.Reauths++
	}
}

// complete returns the wanted rotations, and when the one behind them began; 0 if none did.
func (t *timeline) complete() (rotations []latency.Rotation, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rotations) > t.wanted {
		return slices.Clone(t.rotations[:t.wanted]), t.rotations[t.wanted].Begin
	}
	return slices.Clone(t.rotations), 0
}
