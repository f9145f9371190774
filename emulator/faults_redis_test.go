package emulator_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/jwt"
)

// handshake connects and shakes hands with TLS.
func handshake(e *emulator.Emulator) error {
	c, err := tls.Dial("tcp", e.RedisAddr(), e.TLSConfig())
	if err != nil {
		return err
	}
	return c.Close()
}

func TestFaultsBelowAuth(t *testing.T) {
	e := emulator.RunT(t)
	good := func(when string) {
		t.Helper()
		if err := handshake(e); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	good("without faults")
	for _, endpoint := range []string{"redis-accept", "redis-tls"} {
		clear := e.SetFault(emulator.Fault{Endpoint: endpoint, Reset: true})
		if err := handshake(e); err == nil {
			t.Errorf("%s reset: shook hands", endpoint)
		}
		clear()
		good(endpoint + " cleared")

		// A caller that leaves is not waited for, and one that stays is served.
		clear = e.SetFault(emulator.Fault{Endpoint: endpoint, Hang: true})
		answered := make(chan error, 1)
		go func() { answered <- handshake(e) }()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := (&tls.Dialer{Config: e.TLSConfig()}).DialContext(ctx, "tcp", e.RedisAddr())
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s hang: %v", endpoint, err)
		}
		clear()
		if err := <-answered; err != nil {
			t.Errorf("%s hang, cleared: %v", endpoint, err)
		}
	}
	for kind, want := range map[string]string{
		emulator.CertificateExpired:   "expired",
		emulator.CertificateFuture:    "not yet valid",
		emulator.CertificateOtherName: "not emulator",
		emulator.CertificateUnknownCA: "unknown authority",
	} {
		e.SetFault(emulator.Fault{Endpoint: "redis-tls", Certificate: kind, Count: 1})
		err := handshake(e)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", kind, err, want)
		}
		good("behind " + kind)
	}
	e.SetFault(emulator.Fault{Endpoint: "redis-tls", TLSVersion: tls.VersionTLS11, Count: 1})
	if err := handshake(e); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("TLS 1.1: %v", err)
	}
	good("behind TLS 1.1")
}

// authenticated is a connection in this process of a principal.
func authenticated(t *testing.T, e *emulator.Emulator) redis.Conn {
	t.Helper()
	nc, err := e.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewConn(nc, 0, 0)
	t.Cleanup(func() { c.Close() })
	if _, err := c.Do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCommandFaults(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	c := authenticated(t, e)
	e.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "set", Body: "OOM command not allowed", Count: 1})
	e.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "cluster slots", Reply: "*0\r\n", Count: 1})
	if _, err := c.Do("CLUSTER", "INFO"); err == nil || strings.Contains(err.Error(), "OOM") {
		t.Errorf("another command: %v", err)
	}
	if _, err := c.Do("SET", "a", "1"); err == nil || err.Error() != "OOM command not allowed" {
		t.Errorf("error line: %v", err)
	}
	if reply, err := redis.Values(c.Do("CLUSTER", "SLOTS")); err != nil || len(reply) != 0 {
		t.Errorf("reply: %v, %v", reply, err)
	}
	if reply, err := redis.String(c.Do("SET", "a", "1")); err != nil || reply != "OK" {
		t.Errorf("behind its count: %q, %v", reply, err)
	}
	e.SetFault(emulator.Fault{Endpoint: "redis-command", Reset: true})
	if _, err := c.Do("PING"); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("reset: %v", err)
	}
}

func TestEntraCanBeSwitchedOff(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	c := authenticated(t, e)
	e.SetEntra(false)
	if _, err := c.Do("PING"); err != nil {
		t.Errorf("open connection: %v", err)
	}
	if _, err := c.Do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("off: %v", err)
	}
	e.SetEntra(true)
	if _, err := c.Do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); err != nil {
		t.Errorf("on again: %v", err)
	}
}

func TestClaimsFault(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	e.SetFault(emulator.Fault{Endpoint: "claims", Claims: map[string]any{"aud": "https://vault.azure.net", "oid": nil}, Count: 1})
	for i, want := range []jwt.Claims{
		{Audience: []string{"https://vault.azure.net"}},
		{Audience: []string{"https://redis.azure.com"}, ObjectID: emulator.AppObjectID},
	} {
		status, answer := askToken(t, e, e.TenantID(), map[string][]string{"grant_type": {"client_credentials"},
			"client_id": {emulator.AppClientID}, "client_secret": {emulator.AppClientSecret}, "scope": {scope}})
		token, _ := answer["access_token"].(string)
		got, err := jwt.Read(token)
		if status != http.StatusOK || err != nil || got.ObjectID != want.ObjectID || len(got.Audience) != 1 || got.Audience[0] != want.Audience[0] {
			t.Errorf("token %d: status %d, %v, aud %q, oid %q", i, status, err, got.Audience, got.ObjectID)
		}
	}
}

func TestIssuerShowsItsOwnTime(t *testing.T) {
	for name, options := range map[string]emulator.Options{"sockets": {}, "in process": {NoListen: true}} {
		e := emulator.RunT(t, options)
		e.Advance(-48 * time.Hour)
		response, err := e.HTTPClient().Get(e.IssuerURL() + "/common/v2.0/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		at, err := http.ParseTime(response.Header.Get("Date"))
		if off := e.Now().Sub(at); err != nil || off < 0 || off > time.Hour {
			t.Errorf("%s: Date %q is %v off the issuer's clock, %v", name, response.Header.Get("Date"), off, err)
		}
	}
}

func TestUnknownFaultsPanic(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	for _, f := range []emulator.Fault{{Endpoint: "redis"}, {Endpoint: "redis-tls", Certificate: "old"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: no panic", f)
				}
			}()
			e.SetFault(f)
		}()
	}
}
