package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/interop/gen/rename"
)

// shortly is a run of a few rows that a test can wait for.
func shortly(t *testing.T, selected ...row) settings {
	t.Helper()
	if len(selected) == 0 {
		t.Fatal("no row selected")
	}
	return settings{
		span: 4 * time.Second, every: 2 * time.Second, pace: 50 * time.Millisecond,
		rows: selected, log: slog.New(slog.DiscardHandler),
	}
}

// Every row of the matrix runs in the program; here are enough to meet each topology, protocol and kind of pool.
func TestRowsPass(t *testing.T) {
	t.Parallel()
	var selected []row
	for _, name := range [][]string{
		{"redigo/single"}, {"radix/single/RESP3"}, {"rueidis/sentinel/RESP2"}, {"go-redis/cluster/RESP3"}, {"valkey-go/cluster/RESP3"},
	} {
		selected = append(selected, rows(name)...)
	}
	r, err := run(t.Context(), shortly(t, selected...))
	if err != nil {
		t.Fatal(err)
	}
	if !r.passed() || len(r.Outcomes) != 5 {
		var table bytes.Buffer
		if err := r.print(&table); err != nil {
			t.Error(err)
		}
		t.Errorf("want 5 rows that pass, got\n%s", table.String())
	}
}

// Nothing would be proved by rows that pass whatever happens to their connections.
func TestRowFailsWithItsConnections(t *testing.T) {
	t.Parallel()
	s := shortly(t, rows([]string{"redigo"})...)
	s.disturb = func(ctx context.Context, servers []*server) error {
		return servers[0].admin.Do(ctx, "CLIENT", "KILL", "USER", objectID).Err()
	}
	r, err := run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.passed() {
		t.Fatal("passed although its connections were closed")
	}
	o := r.Outcomes[0]
	if o.reconnects() == 0 || o.Counts.Failed == 0 {
		t.Errorf("%d reconnects, %d failed, want some of both", o.reconnects(), o.Counts.Failed)
	}
}

// An interrupt from the terminal reaches the servers as well, and not every client can be closed without them.
func TestInterruptedRunEnds(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s := shortly(t, rows([]string{"radix/sentinel/RESP3"})...)
	s.disturb = func(_ context.Context, servers []*server) error {
		for _, s := range servers {
			if err := s.process.Process.Kill(); err != nil {
				return err
			}
			<-s.ended
		}
		interrupt()
		return nil
	}
	if _, err := run(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("run returned %v, want %v", err, context.Canceled)
	}
}

func TestServerIsNotFound(t *testing.T) {
	t.Setenv("ENTRAREDIS_REDIS_SERVER", "no-such-redis-server")
	_, err := run(t.Context(), shortly(t, rows([]string{"redigo"})...))
	if err == nil || !strings.Contains(err.Error(), "ENTRAREDIS_REDIS_SERVER") {
		t.Errorf("error %v does not say what to set", err)
	}
}

// TestServers holds the servers to what makes them like a cache: a certificate for a name only, and no use for old tokens.
func TestServers(t *testing.T) {
	t.Parallel()
	l, err := newLauncher(t.TempDir(), "test-password")
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	top, err := l.topology(t.Context(), single)
	if err != nil {
		t.Fatal(err)
	}
	i, err := newIssuer(l.servers, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	source, err := entraredis.New(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()

	t.Run("an address is not in the certificate", func(t *testing.T) {
		d := &entraredis.Dialer{Source: source, TLSConfig: &tls.Config{RootCAs: l.cert.roots}}
		_, err := d.DialContext(t.Context(), "tcp", top.seed.addr)
		if _, wrongName := errors.AsType[x509.HostnameError](err); !wrongName {
			t.Errorf("dialing %s: error %v, want that the certificate is for another name", top.seed.addr, err)
		}
		d.ServerName = hostName
		c, err := d.DialContext(t.Context(), "tcp", top.seed.addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})

	t.Run("only the two newest tokens are taken", func(t *testing.T) {
		if err := i.check(t.Context(), l.cert); err == nil {
			t.Error("the first token counts as refused while it is the newest")
		}
		for i.count() < 3 {
			if _, err := i.GetToken(t.Context(), policy.TokenRequestOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := i.check(t.Context(), l.cert); err != nil {
			t.Error(err)
		}
	})
}

func TestValkeyIsRueidisUnderOtherNames(t *testing.T) {
	source, err := os.ReadFile("rueidis.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("valkey.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, rename.Valkey(source)) {
		t.Error("valkey.go is not made from rueidis.go: run go generate")
	}
}

func TestRowsAreSelected(t *testing.T) {
	tests := []struct {
		words []string
		want  string
	}{
		{[]string{"redigo"}, "[redigo/single/RESP2]"},
		{[]string{"Radix", " cluster"}, "[radix/cluster/RESP2 radix/cluster/RESP3]"},
		{[]string{"redigo", "cluster"}, "[]"},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(rows(tt.words)); got != tt.want {
			t.Errorf("rows(%q) = %s, want %s", tt.words, got, tt.want)
		}
	}
	if got := len(rows(nil)); got != 25 {
		t.Errorf("%d rows in all, want 25", got)
	}
}
