package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

func factsForTest(t *testing.T) tokenFacts {
	t.Helper()
	was := time.Local
	time.Local = time.FixedZone("CEST", 2*60*60)
	t.Cleanup(func() { time.Local = was })
	now := time.Date(2026, 8, 24, 10, 0, 0, 0, time.UTC)
	return tokenFacts{
		token: entraredis.Token{Username: "oid-1", ExpiresOn: now.Add(time.Hour)},
		claims: jwt.Claims{
			ObjectID: "oid-1", Audience: []string{"https://redis.azure.com"}, IdentityType: "app",
			IssuedAt: now.Add(-5 * time.Minute), ExpiresAt: now.Add(time.Hour),
		},
		now: now,
	}
}

func TestTokenText(t *testing.T) {
	var out bytes.Buffer
	if err := showTokenText(&out, factsForTest(t)); err != nil {
		t.Fatal(err)
	}
	want := `username  oid-1
expires   2026-08-24 13:00:00 CEST (in 1h)
lifetime  1h5m
claims
  aud     https://redis.azure.com
  oid     oid-1
  idtyp   app
  iat     2026-08-24 11:55:00 CEST (5m ago)
  exp     2026-08-24 13:00:00 CEST (in 1h)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestTokenJSON(t *testing.T) {
	var out bytes.Buffer
	if err := showTokenJSON(&out, factsForTest(t)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Username        string
		ExpiresOn       string  `json:"expires_on"`
		LifetimeSeconds float64 `json:"lifetime_seconds"`
		Claims          map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Username != "oid-1" || got.ExpiresOn != "2026-08-24T11:00:00Z" || got.LifetimeSeconds != 3900 || got.Claims["idtyp"] != "app" {
		t.Errorf("got %+v", got)
	}
	if _, ok := got.Claims["upn"]; ok {
		t.Error("a claim the token lacks is shown")
	}
}

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "in 1h", -90 * time.Second: "1m30s ago", 300 * time.Millisecond: "now"} {
		if got := relative(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestKindsFitTheHelp(t *testing.T) {
	words := []string{"default", "environment", "workload-identity"}
	text := wrap(words, 21)
	if want := "default, environment,\nworkload-identity"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if got := strings.Fields(strings.ReplaceAll(text, ",", "")); len(got) != len(words) {
		t.Errorf("got %q", got)
	}
}
