package emulator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

func TestStartRefusesOptions(t *testing.T) {
	app := func(change func(*emulator.Principal)) emulator.Options {
		p := emulator.Principal{Name: "app", Kind: emulator.PrincipalApp, ObjectID: "o", ClientID: "c"}
		change(&p)
		return emulator.Options{NoListen: true, Principals: []emulator.Principal{p}}
	}
	tests := map[string]struct {
		options emulator.Options
		want    string
	}{
		"flavor":          {emulator.Options{Flavor: "acre"}, `emulator: flavor "acre" is none of "acr", "amr" and "redis"`},
		"short lifetime":  {emulator.Options{TokenLifetime: time.Second}, "emulator: token lifetime 1s is not between 2s and 24h0m0s"},
		"long lifetime":   {emulator.Options{TokenLifetime: 25 * time.Hour}, "emulator: token lifetime 25h0m0s is not between 2s and 24h0m0s"},
		"refresh-in":      {emulator.Options{RefreshIn: 1500 * time.Millisecond}, "emulator: refresh-in 1.5s is not a whole number of seconds"},
		"grace":           {emulator.Options{Grace: -1}, "emulator: grace and auth delay cannot be negative"},
		"address unused":  {emulator.Options{NoListen: true, RedisAddr: "127.0.0.1:0"}, "emulator: an address is set although nothing listens (NoListen)"},
		"address invalid": {emulator.Options{IdentityAddr: "256.0.0.1:x"}, "emulator: listen for managed identity: "},
		"no name":         {app(func(p *emulator.Principal) { p.Name = "" }), `needs a name and an object ID`},
		"kind":            {app(func(p *emulator.Principal) { p.Kind = "robot" }), `kind "robot" is none of`},
		"own lifetime":    {app(func(p *emulator.Principal) { p.TokenLifetime = 1 }), `principal "app": token lifetime 1ns is not between`},
		"half federation": {app(func(p *emulator.Principal) { p.FederatedIssuer = "https://x.test" }), "a federated issuer needs its key"},
		"policy":          {app(func(p *emulator.Principal) { p.Policy = "Data Ownr" }), `principal "app": access policy "Data Ownr" is neither "Data Owner", "Data Contributor" or "Data Reader" nor a rule string such as "+@read ~app:*": `},
		"duplicate": {emulator.Options{Principals: append(emulator.DefaultPrincipals(), emulator.Principal{Name: "app", Kind: emulator.PrincipalApp, ObjectID: "x"})},
			`emulator: two principals have the name "app"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := emulator.Start(context.Background(), test.options)
			if err == nil {
				e.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q in it", err, test.want)
			}
		})
	}
}

type fakeTester struct {
	testing.TB
	fatal   string
	cleanup []func()
}

var errFatal = errors.New("fatal")

func (f *fakeTester) Fatalf(format string, _ ...any) { f.fatal = format; panic(errFatal) }
func (f *fakeTester) Cleanup(fn func())              { f.cleanup = append(f.cleanup, fn) }
func (f *fakeTester) Helper()                        {}

func TestRunT(t *testing.T) {
	f := &fakeTester{TB: t}
	e := emulator.RunT(f, emulator.Options{NoListen: true})
	if len(f.cleanup) != 1 {
		t.Fatalf("%d cleanups, want 1", len(f.cleanup))
	}
	f.cleanup[0]()
	if _, err := e.Dial(context.Background()); err == nil {
		t.Error("cleanup did not close the emulator")
	}
	defer func() {
		if recover() != errFatal || f.fatal == "" { //nolint:errorlint // a panic value
			t.Error("a wrong option was not fatal")
		}
	}()
	emulator.RunT(f, emulator.Options{Flavor: "x"})
}

func TestUnknownNamesPanic(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	for name, f := range map[string]func(){
		"Principal": func() { e.Principal("nobody") },
		"Mint":      func() { e.Mint("nobody", nil) },
		"SetFault":  func() { e.SetFault(emulator.Fault{Endpoint: "tokens"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
	for _, err := range []error{
		e.SetPolicy("nobody", ""), e.SetPolicy("app", "Owner"),
		e.ApproveDevice("NOTACODE2", "ada"), e.ApproveDevice("NOTACODE2", "app"),
	} {
		if err == nil {
			t.Error("no error for a name that does not exist")
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	e, err := emulator.Start(ctx, emulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := e.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	e.SetFault(emulator.Fault{Hang: true})
	hung := make(chan error, 1)
	go func() {
		_, err := e.HTTPClient().Get(e.IssuerURL() + "/common/v2.0/.well-known/openid-configuration")
		hung <- err
	}()
	cancel()
	if err := <-hung; err == nil {
		t.Error("a hung request was answered")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := e.HTTPClient().Get(e.IssuerURL() + "/common/discovery/keys"); err == nil {
		t.Error("a closed emulator answered")
	}
}
