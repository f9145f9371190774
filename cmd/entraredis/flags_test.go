package main

import (
	"errors"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func flagsForTest() (*pflag.FlagSet, *between, *choice) {
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	b := &between{value: 5 * time.Second, min: 2 * time.Second, max: 24 * time.Hour}
	c := &choice{value: "text", allowed: []string{"text", "json"}}
	f.Var(b, "token-lifetime", "")
	f.Var(c, "format", "")
	return f, b, c
}

func TestFlagBeatsVariableBeatsDefault(t *testing.T) {
	env := lookup([]string{"ENTRAREDIS_TOKEN_LIFETIME=7s", "ENTRAREDIS_FORMAT="})
	f, b, c := flagsForTest()
	if err := applyEnv(f, env); err != nil {
		t.Fatal(err)
	}
	if b.value != 7*time.Second || origin(f, "token-lifetime") != "ENTRAREDIS_TOKEN_LIFETIME" {
		t.Errorf("variable: got %v from %s", b.value, origin(f, "token-lifetime"))
	}
	if c.value != "text" || origin(f, "format") != "--format" {
		t.Errorf("empty variable: got %q from %s, want the default", c.value, origin(f, "format"))
	}

	f, b, _ = flagsForTest()
	if err := f.Parse([]string{"--token-lifetime", "9s"}); err != nil {
		t.Fatal(err)
	}
	if err := applyEnv(f, env); err != nil {
		t.Fatal(err)
	}
	if b.value != 9*time.Second || origin(f, "token-lifetime") != "--token-lifetime" {
		t.Errorf("flag: got %v from %s", b.value, origin(f, "token-lifetime"))
	}
}

func TestBadVariableIsNamed(t *testing.T) {
	f, _, _ := flagsForTest()
	err := applyEnv(f, lookup([]string{"ENTRAREDIS_TOKEN_LIFETIME=1s"}))
	want := `invalid value "1s" for ENTRAREDIS_TOKEN_LIFETIME: must be between 2s and 24h`
	var usage *usageError
	if !errors.As(err, &usage) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestBetweenBounds(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{{"2s", true}, {"24h", true}, {"1999ms", false}, {"24h1ms", false}, {"-5s", false}, {"5", false}, {"", false}} {
		b := &between{min: 2 * time.Second, max: 24 * time.Hour}
		if err := b.Set(tc.in); (err == nil) != tc.ok {
			t.Errorf("%q: got %v, want accepted %v", tc.in, err, tc.ok)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s",
		time.Minute: "1m", 0: "0s", 100 * time.Minute: "1h40m", time.Hour + 10*time.Second: "1h0m10s",
		20 * time.Hour: "20h", 1500 * time.Millisecond: "1.5s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%d): got %s, want %s", d, got, want)
		}
	}
}
