package entraredis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// tokens is a credential of one principal of an emulator.
func tokens(em *emulator.Emulator, principal string) azcore.TokenCredential {
	return &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: em.Mint(principal, nil), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
}

func newSource(t *testing.T, c azcore.TokenCredential, o *entraredis.Options) *entraredis.Source {
	t.Helper()
	s, err := entraredis.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// roots is the emulator's CA without its host name: the Dialer has to know it.
func roots(em *emulator.Emulator) *tls.Config {
	return &tls.Config{RootCAs: em.TLSConfig().RootCAs}
}

// toEmulator dials the emulator whatever the address.
func toEmulator(em *emulator.Emulator) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, em.RedisAddr())
	}
}

func TestDialVerifiesTheHostName(t *testing.T) {
	em := emulator.RunT(t)
	src := newSource(t, tokens(em, "app"), nil)
	_, port, _ := net.SplitHostPort(em.RedisAddr())
	host := net.JoinHostPort(em.Host(), port)
	kind := func(d *entraredis.Dialer, addr string) entraredis.Kind {
		t.Helper()
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			c.Close()
			return ""
		}
		var e *entraredis.AuthError
		if !errors.As(err, &e) || e.Addr != addr {
			t.Fatalf("%s: got %v, want an AuthError with the address", addr, err)
		}
		return e.Kind
	}

	byName := &entraredis.Dialer{Source: src, TLSConfig: roots(em), NetDial: toEmulator(em)}
	if got := kind(byName, em.RedisAddr()); got != entraredis.KindTLSName {
		t.Errorf("an IP before any host name: got %q", got)
	}
	if got := kind(byName, "other.example:"+port); got != entraredis.KindTLSName {
		t.Errorf("another host's name: got %q", got)
	}
	if got := kind(byName, host); got != "" {
		t.Errorf("the host name: got %q", got)
	}
	if got := kind(byName, em.RedisAddr()); got != "" {
		t.Errorf("a node's IP behind its host name: got %q", got)
	}
	named := &entraredis.Dialer{Source: src, TLSConfig: roots(em), ServerName: em.Host()}
	if got := kind(named, em.RedisAddr()); got != "" {
		t.Errorf("an IP with ServerName: got %q", got)
	}
	config := roots(em)
	config.ServerName = em.Host()
	if got := kind(&entraredis.Dialer{Source: src, TLSConfig: config}, em.RedisAddr()); got != "" {
		t.Errorf("an IP with TLSConfig.ServerName: got %q", got)
	}
	if config.MinVersion != 0 || config.ClientSessionCache != nil {
		t.Error("the caller's TLS configuration was changed")
	}
	if got := kind(&entraredis.Dialer{Source: src, ServerName: em.Host()}, em.RedisAddr()); got != entraredis.KindTLS {
		t.Errorf("an unknown CA: got %q", got)
	}
}

func TestDialErrors(t *testing.T) {
	em := emulator.RunT(t)
	plain := emulator.RunT(t, emulator.Options{Plaintext: true})
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	good := newSource(t, tokens(em, "app"), nil)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		dialer *entraredis.Dialer
		addr   string
		fault  *emulator.Fault
		want   entraredis.Kind
		in     string // the error's text
	}{
		"no such server": {&entraredis.Dialer{Source: good}, nobody.Addr().String(), nil, entraredis.KindUnreachable, "refused"},
		"plain port":     {&entraredis.Dialer{Source: good}, plain.RedisAddr(), nil, entraredis.KindTLS, "without TLS"},
		"not assigned": {&entraredis.Dialer{Source: newSource(t, tokens(em, "unassigned"), nil), TLSConfig: em.TLSConfig()},
			em.RedisAddr(), nil, entraredis.KindNotAssigned, "WRONGPASS"},
		"client ID as username": {&entraredis.Dialer{Source: newSource(t, tokens(em, "app"), &entraredis.Options{Username: emulator.AppClientID}), TLSConfig: em.TLSConfig()},
			em.RedisAddr(), nil, entraredis.KindWrongUsername, "client ID"},
		"no answer to AUTH": {&entraredis.Dialer{Source: good, TLSConfig: em.TLSConfig(), AuthTimeout: 50 * time.Millisecond},
			em.RedisAddr(), &emulator.Fault{Endpoint: "redis-auth", Hang: true}, entraredis.KindAuthTimeout, "AUTH"},
		"closed during AUTH": {&entraredis.Dialer{Source: good, TLSConfig: em.TLSConfig()},
			em.RedisAddr(), &emulator.Fault{Endpoint: "redis-auth", Reset: true}, entraredis.KindUnreachable, "AUTH"},
		"too many clients": {&entraredis.Dialer{Source: good, TLSConfig: em.TLSConfig()},
			em.RedisAddr(), &emulator.Fault{Endpoint: "redis-auth", Body: "ERR max number of clients reached"}, entraredis.KindMaxClients, "max number"},
		"loading": {&entraredis.Dialer{Source: good, TLSConfig: em.TLSConfig()},
			em.RedisAddr(), &emulator.Fault{Endpoint: "redis-auth", Body: "LOADING Redis is loading the dataset in memory"}, entraredis.KindUnknown, "LOADING"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.fault != nil {
				defer em.SetFault(*tt.fault)()
			}
			_, err := tt.dialer.DialContext(t.Context(), "tcp", tt.addr)
			var e *entraredis.AuthError
			if !errors.As(err, &e) || e.Kind != tt.want || !strings.Contains(err.Error(), tt.in) || e.Remedy() == "" {
				t.Fatalf("got %v, want kind %q with %q", err, tt.want, tt.in)
			}
			if st := tt.dialer.Stats(); st.Open != 0 || st.DialFailures == 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
	eventually(t, "no connection is left open", func() bool { return len(em.Connections()) == 0 })
	if _, err := (&entraredis.Dialer{}).DialContext(t.Context(), "tcp", em.RedisAddr()); err == nil || !strings.Contains(err.Error(), "Source") {
		t.Errorf("without Source: got %v", err)
	}
	if _, err := (&entraredis.Dialer{Source: good, TLSConfig: em.TLSConfig()}).DialContext(canceled, "tcp", em.RedisAddr()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
}

// eventually waits for what another goroutine is about to bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; !ok(); n++ {
		if n == 10_000 {
			t.Fatalf("still not so: %s", what)
		}
		<-tick.C
	}
}

func TestDialIsCanceledDuringAuth(t *testing.T) {
	em := emulator.RunT(t)
	defer em.SetFault(emulator.Fault{Endpoint: "redis-auth", Hang: true})()
	ctx, cancel := context.WithCancel(t.Context())
	d := &entraredis.Dialer{Source: newSource(t, tokens(em, "app"), nil), TLSConfig: em.TLSConfig(),
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			// The third write is the AUTH, behind the two of the handshake.
			return &thirdWrite{Conn: c, then: cancel}, err
		}}
	if _, err := d.DialContext(ctx, "tcp", em.RedisAddr()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it canceled", err)
	}
}

type thirdWrite struct {
	net.Conn
	n    int
	then func()
}

func (c *thirdWrite) Write(p []byte) (int, error) {
	if c.n++; c.n == 3 {
		defer c.then()
	}
	return c.Conn.Write(p)
}

func TestClientName(t *testing.T) {
	em := emulator.RunT(t)
	for principal, want := range map[string]string{"owner": "$3\r\napp\r\n", "app": ""} {
		if principal == "owner" {
			if err := em.SetPolicy("mi", emulator.PolicyDataOwner); err != nil {
				t.Fatal(err)
			}
			principal = "mi"
		}
		d := &entraredis.Dialer{Source: newSource(t, tokens(em, principal), nil), TLSConfig: em.TLSConfig(), ClientName: "app"}
		c, err := d.DialContext(t.Context(), "tcp", em.RedisAddr())
		if err != nil {
			t.Fatalf("%s: %v: a refused CLIENT SETNAME is no error", principal, err)
		}
		defer c.Close()
		c.Write(resp.AppendCommand(nil, "CLIENT", "GETNAME"))
		f, err := resp.NewReader(c).ReadFrame()
		if err != nil || want != "" && string(f) != want {
			t.Errorf("%s: got %q, %v, want %q", principal, f, err, want)
		}
	}
}

func TestTLSSessionsAreResumed(t *testing.T) {
	em := emulator.RunT(t)
	resumed := false
	config := em.TLSConfig()
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		resumed = resumed || cs.DidResume
		return nil
	}
	d := &entraredis.Dialer{Source: newSource(t, tokens(em, "app"), nil), TLSConfig: config}
	for range 2 {
		c, err := d.DialContext(t.Context(), "tcp", em.RedisAddr())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if !resumed {
		t.Error("the second connection did a full handshake")
	}
}
