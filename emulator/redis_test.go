package emulator_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/entraredis/entraredis/emulator"
)

// conversation is one plain connection: what is sent and what comes back.
type conversation struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func converse(t *testing.T, conn net.Conn, err error) *conversation {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &conversation{t, conn, bufio.NewReader(conn)}
}

// do sends a command and returns the first line of the reply.
func (c *conversation) do(args ...string) string {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c.conn, b.String()); err != nil {
		return err.Error()
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\r\n")
}

// ended tells whether the server closed the connection, and said nothing first.
func (c *conversation) ended() error {
	if b, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("got %q, %v; want the end", b, err)
	}
	return nil
}

const refusedACR = "-ERR WRONGPASS invalid username-password pair"

func TestAuthentication(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	foreign := emulator.RunT(t, emulator.Options{NoListen: true})
	claim := func(name string, value any) string {
		return e.Mint("app", func(c map[string]any) { c[name] = value })
	}
	now := time.Now()
	tests := map[string]struct{ username, token, want string }{
		"good":              {emulator.AppObjectID, e.Mint("app", nil), "+OK"},
		"audience slash":    {emulator.AppObjectID, claim("aud", "https://redis.azure.com/"), "+OK"},
		"audience GUID":     {emulator.AppObjectID, claim("aud", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"), "+OK"},
		"v2.0 issuer":       {emulator.AppObjectID, claim("iss", "https://login.microsoftonline.com/"+e.TenantID()+"/v2.0"), "+OK"},
		"client ID as name": {emulator.AppClientID, e.Mint("app", nil), refusedACR},
		"other's object ID": {emulator.ReaderObjectID, e.Mint("app", nil), refusedACR},
		"UPN as name":       {emulator.UserUPN, e.Mint("ada", nil), refusedACR},
		"not assigned":      {emulator.UnassignedObjectID, e.Mint("unassigned", nil), refusedACR},
		"expired":           {emulator.AppObjectID, claim("exp", now.Add(-time.Second).Unix()), refusedACR},
		"not yet valid":     {emulator.AppObjectID, claim("nbf", now.Add(time.Hour).Unix()), refusedACR},
		"wrong audience":    {emulator.AppObjectID, claim("aud", "https://management.azure.com/"), refusedACR},
		"foreign tenant":    {emulator.AppObjectID, claim("iss", "https://sts.windows.net/22222222-2222-4333-8444-555555555555/"), refusedACR},
		"other signer":      {emulator.AppObjectID, foreign.Mint("app", nil), refusedACR},
		"garbage":           {emulator.AppObjectID, "not-a-token", refusedACR},
		"access key":        {"default", "c2VjcmV0LWFjY2Vzcy1rZXk=", refusedACR},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := e.Dial(context.Background())
			if got := converse(t, conn, err).do("AUTH", test.username, test.token); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if s := e.Stats(); s.Auths != 4 || s.AuthsRefused != uint64(len(tests)-4) || s.Accepted != uint64(len(tests)) {
		t.Errorf("stats %+v", s)
	}
}

func TestManagedRedisRefusesInItsOwnWords(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true, Flavor: emulator.FlavorAMR})
	conn, err := e.Dial(context.Background())
	if got, want := converse(t, conn, err).do("AUTH", emulator.AppObjectID, "x"), "-WRONGPASS invalid username-password pair"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := e.Host(), "emulator.westeurope.redis.azure.net"; got != want {
		t.Errorf("host: got %q, want %q", got, want)
	}
}

func client(t *testing.T, e *emulator.Emulator, username, token string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: e.RedisAddr(), TLSConfig: e.TLSConfig(), Username: username, Password: token,
		MaxRetries: -1, DisableIdentity: true, Protocol: 2, PoolSize: 1,
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// A client that knows nothing of tokens works with one fetched by hand.
func TestGoRedisOverTLS(t *testing.T) {
	for _, flavor := range []emulator.Flavor{emulator.FlavorACR, emulator.FlavorAMR} {
		t.Run(string(flavor), func(t *testing.T) {
			e := emulator.RunT(t, emulator.Options{Flavor: flavor})
			ctx := context.Background()
			token := getToken(t, secretCredential(t, e), scope).Token
			c := client(t, e, emulator.AppObjectID, token)
			if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Get(ctx, "k").Result(); got != "v" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			conns := e.Connections()
			if len(conns) != 1 || conns[0].Username != emulator.AppObjectID || conns[0].AuthCount == 0 || conns[0].TokenExpiry.IsZero() {
				t.Errorf("connections %+v", conns)
			}

			e.Advance(time.Hour + time.Second)
			if s := e.Stats(); s.Expired != 1 || s.Connections != 0 {
				t.Errorf("after expiry: %+v", s)
			}
			if err := c.Ping(ctx).Err(); err == nil || strings.Contains(err.Error(), "WRONGPASS") {
				t.Errorf("on the closed connection: got %v", err)
			}
			if err := c.Ping(ctx).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
				t.Errorf("with the expired token: got %v", err)
			}
			wrong := client(t, e, emulator.AppClientID, e.Mint("app", nil))
			if err := wrong.Ping(ctx).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
				t.Errorf("with the client ID as user name: got %v", err)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	e := emulator.RunT(t)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(e.CAPEM()) {
		t.Fatal("CAPEM holds no certificate")
	}
	dial := func(addr, name string) (*x509.Certificate, error) {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12})
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0], nil
	}
	certificate, err := dial(e.RedisAddr(), e.Host())
	if err != nil {
		t.Fatal(err)
	}
	if len(certificate.DNSNames) != 1 || len(certificate.IPAddresses) != 0 {
		t.Errorf("certificate for %q and %v, want %q only", certificate.DNSNames, certificate.IPAddresses, e.Host())
	}
	for _, name := range []string{"127.0.0.1", "localhost"} {
		var mismatch x509.HostnameError
		if _, err := dial(e.RedisAddr(), name); !errors.As(err, &mismatch) {
			t.Errorf("%s: got %v, want a host name error", name, err)
		}
		if _, err := dial(strings.TrimPrefix(e.IssuerURL(), "https://"), name); err != nil {
			t.Errorf("issuer as %s: %v", name, err)
		}
	}
}

func TestPlaintext(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{Plaintext: true})
	if e.TLSConfig() != nil {
		t.Error("a TLS config for plain text")
	}
	c := client(t, e, emulator.UserObjectID, e.Mint("ada", nil))
	if err := c.Ping(context.Background()).Err(); err != nil {
		t.Error(err)
	}
}

func TestConnectionEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true, TokenLifetime: 10 * time.Second, Grace: 2 * time.Second})
		conn, err := e.Dial(context.Background())
		c := converse(t, conn, err)
		if got := c.do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); got != "+OK" {
			t.Fatal(got)
		}
		after(8 * time.Second)
		if got := c.do("PING"); got != "+PONG" {
			t.Errorf("before the end: %q", got)
		}
		if got := c.do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); got != "+OK" {
			t.Errorf("re-AUTH: %q", got)
		}
		after(11 * time.Second)
		if got := c.do("PING"); got != "+PONG" {
			t.Errorf("after the first token's end: %q", got)
		}
		start := time.Now()
		if err := c.ended(); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("closed %v later, want 1 s: the second token's end and the grace", got)
		}
		if s := e.Stats(); s.Expired != 1 || s.Reauths != 1 || s.Auths != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The whole of it in a bubble: real azidentity, real go-redis, no sockets.
func TestGoRedisInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true})
		credential := secretCredential(t, e)
		c := redis.NewClient(&redis.Options{
			Addr: "cache:6380", Protocol: 3, MaxRetries: -1, PoolSize: 1,
			Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx) },
			CredentialsProviderContext: func(context.Context) (string, string, error) {
				return emulator.AppObjectID, getToken(t, credential, scope).Token, nil
			},
		})
		defer c.Close()
		ctx := context.Background()
		if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		after(time.Hour + time.Second)
		synctest.Wait()
		if s := e.Stats(); s.Connections != 0 || s.Expired != 1 {
			t.Errorf("after an hour: %+v", s)
		}
		_ = c.Ping(ctx).Err() // may meet the closed connection
		if got, err := c.Get(ctx, "k").Result(); got != "v" || err != nil {
			t.Errorf("with a new token: %q, %v", got, err)
		}
		// Many replies, read only when all is sent.
		pipe := c.Pipeline()
		value := strings.Repeat("x", 1024)
		for i := range 2000 {
			pipe.Set(ctx, fmt.Sprint(i%10), value, 0)
			pipe.Get(ctx, fmt.Sprint(i%10))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestPolicies(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	conn, err := e.Dial(context.Background())
	c := converse(t, conn, err)
	auth := func() string { return c.do("AUTH", emulator.ReaderObjectID, e.Mint("reader", nil)) }
	if got := auth(); got != "+OK" {
		t.Fatal(got)
	}
	const noperm = "-NOPERM this user has no permissions to run the 'set' command or its subcommand"
	if got := c.do("SET", "k", "v"); got != noperm {
		t.Errorf("reader: got %q, want %q", got, noperm)
	}
	if err := e.SetPolicy("reader", "+@all ~app:*"); err != nil {
		t.Fatal(err)
	}
	if got := c.do("SET", "app:k", "v"); got != "+OK" {
		t.Errorf("custom policy: %q", got)
	}
	if got := c.do("SET", "k", "v"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("other key: %q", got)
	}
	if err := e.SetPolicy("reader", ""); err != nil {
		t.Fatal(err)
	}
	if got := auth(); got != refusedACR {
		t.Errorf("unassigned: %q", got)
	}
}

func TestRedisFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true, AuthDelay: time.Second})
		fresh := func() *conversation {
			conn, err := e.Dial(context.Background())
			return converse(t, conn, err)
		}
		auth := func(c *conversation) string { return c.do("AUTH", emulator.AppObjectID, e.Mint("app", nil)) }
		start := time.Now()
		if got := auth(fresh()); got != "+OK" || time.Since(start) != time.Second {
			t.Errorf("delayed AUTH: %q after %v", got, time.Since(start))
		}
		e.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "ERR try later", Count: 1})
		c := fresh()
		if got := auth(c); got != "-ERR try later" {
			t.Errorf("body: %q", got)
		}
		if got := auth(c); got != "+OK" {
			t.Errorf("after the count: %q", got)
		}
		e.SetFault(emulator.Fault{Endpoint: "redis-hello", Reset: true, Count: 1})
		if got := auth(fresh()); got != "+OK" {
			t.Errorf("AUTH with a HELLO fault: %q", got)
		}
		if got := fresh().do("HELLO", "3", "AUTH", emulator.AppObjectID, e.Mint("app", nil)); got != io.EOF.Error() {
			t.Errorf("reset HELLO: %q", got)
		}
		clear := e.SetFault(emulator.Fault{Endpoint: "redis-auth", Hang: true})
		time.AfterFunc(time.Minute, clear)
		start = time.Now()
		if got := auth(fresh()); got != "+OK" || time.Since(start) != time.Minute {
			t.Errorf("hung AUTH: %q after %v", got, time.Since(start))
		}
	})
}

func TestRefuseHello(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true, RefuseHello: true})
	conn, err := e.Dial(context.Background())
	c := converse(t, conn, err)
	if got := c.do("HELLO", "3"); !strings.HasPrefix(got, "-ERR unknown command") {
		t.Errorf("got %q", got)
	}
	if got := c.do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); got != "+OK" {
		t.Errorf("got %q", got)
	}
}

// The data can live in any Redis: one connection there for each client's.
func TestBackend(t *testing.T) {
	refused := errors.New("no backend")
	e := emulator.RunT(t, emulator.Options{NoListen: true, Backend: func(context.Context) (net.Conn, error) { return nil, refused }})
	conn, err := e.Dial(context.Background())
	c := converse(t, conn, err)
	if got := c.do("AUTH", emulator.AppObjectID, e.Mint("app", nil)); got == "+OK" {
		if got := c.do("GET", "k"); got == "$-1" {
			t.Error("answered without a backend")
		}
	}
}
