// Package emulator is a Microsoft Entra tenant and an Azure Redis in one
// process. The issuer gives real signed tokens to real azidentity credentials;
// the Redis accepts nothing else, refuses what Azure refuses in the words Azure
// uses, and closes a connection when the token it authenticated with expires.
// Both have faults to put in their way and a clock to move.
//
//	func TestCache(t *testing.T) {
//		e := emulator.RunT(t)
//		credential, err := azidentity.NewClientSecretCredential(e.TenantID(),
//			emulator.AppClientID, emulator.AppClientSecret,
//			&azidentity.ClientSecretCredentialOptions{
//				ClientOptions: azcore.ClientOptions{
//					Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: e.IssuerURL()},
//					Transport: e.HTTPClient(),
//				},
//			})
//		// ... connect to e.RedisAddr() with e.TLSConfig()
//	}
//
// docs/emulator.md says what is emulated and what is not. It is for tests and
// development: its secrets are public.
package emulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/entraredis/entraredis/emulator/internal/acl"
	"github.com/entraredis/entraredis/emulator/internal/front"
	"github.com/entraredis/entraredis/emulator/internal/issuer"
	"github.com/entraredis/entraredis/internal/jwt"
)

// Emulator is one tenant and one Redis. Its methods are safe for concurrent
// use. Make one with [Start] or [RunT].
type Emulator struct {
	options Options
	offset  atomic.Int64 // of the clock, in nanoseconds
	// entraOff refuses every AUTH.
	entraOff atomic.Bool
	key      *jwt.Key
	signed   signed // by it
	ca       *authority
	issuer   *issuer.Issuer
	front    *front.Server
	store    *miniredis.Miniredis // nil with a Backend of the caller
	faults   *faults
	header   string // IdentityHeader

	transport *transport
	redis     net.Listener // nil with NoListen, as the two below
	entra     *webServer
	identity  *webServer

	mu      sync.Mutex // guards rules, release, and running against Close; never held across I/O
	rules   map[string]*acl.Rules
	release func() bool    // of the context Start got
	running sync.WaitGroup // Redis listener and connections of Dial

	done    chan struct{} // closed by Close
	closing sync.Once
}

// Start starts an emulator. It runs until ctx ends or [Emulator.Close] is
// called, whichever is first.
func Start(ctx context.Context, o Options) (*Emulator, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e := &Emulator{options: o, rules: map[string]*acl.Rules{}, done: make(chan struct{}), header: "emulated-identity-header"}
	if err := e.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: %w", err), e.Close())
	}
	if !o.NoListen {
		if err := e.listen(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("emulator: %w", err), e.Close())
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.release = context.AfterFunc(ctx, func() { _ = e.Close() })
	return e, nil
}

// build makes all that needs no socket.
func (e *Emulator) build() (err error) {
	o := e.options
	if e.key, err = jwt.NewKey(); err != nil {
		return err
	}
	e.signed.verify = e.key.Verify
	if e.ca, err = newAuthority(); err != nil {
		return err
	}
	for _, p := range o.Principals {
		if e.rules[p.ObjectID], err = parsePolicy(p.Policy); err != nil {
			return err
		}
	}
	e.faults = &faults{done: e.done}
	e.issuer = issuer.New(issuer.Config{
		TenantID: o.TenantID, Principals: forIssuer(o.Principals), Key: e.key, Now: e.Now,
		TokenLifetime: o.TokenLifetime, RefreshIn: o.RefreshIn, IdentityHeader: e.header,
		Wrap: e.faults.wrap, Change: e.faults.claims, Logger: o.Logger,
	})
	backend := o.Backend
	if backend == nil {
		e.store = miniredis.NewMiniRedis()
		backend = func(context.Context) (net.Conn, error) { return e.store.Dial() }
	}
	e.front = front.New(front.Config{
		Flavor: string(o.Flavor), Verify: e.verify, Backend: backend, Now: e.Now, Grace: o.Grace,
		RefuseHello: func() bool { return o.RefuseHello },
		AuthFault:   e.faults.auth(o.AuthDelay), CommandFault: e.faults.command, Logger: o.Logger,
	})
	e.transport = &transport{
		issuer: e.issuer.Authority(), identity: e.issuer.Identity(),
		issuerHost: inProcessIssuer, identityHost: inProcessIdentity, done: e.done,
	}
	return nil
}

// listen opens the three addresses.
func (e *Emulator) listen(ctx context.Context) error {
	redisTLS, err := e.ca.server([]string{e.Host()}, nil, nil)
	if err != nil {
		return err
	}
	issuerTLS, err := e.ca.server([]string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	if e.redis, err = config.Listen(ctx, "tcp", e.options.RedisAddr); err != nil {
		return fmt.Errorf("listen for redis: %w", err)
	}
	redis := net.Listener(faultyListener{e.redis, e.faults})
	if !e.options.Plaintext {
		redis = tls.NewListener(redis, e.faults.handshake(redisTLS, e.ca, e.Host()))
	}
	e.running.Go(func() {
		if err := e.front.Serve(redis); err != nil && !errors.Is(err, net.ErrClosed) {
			e.options.Logger.Error("redis server ended", "error", err)
		}
	})

	entra, err := config.Listen(ctx, "tcp", e.options.IssuerAddr)
	if err != nil {
		return fmt.Errorf("listen for the issuer: %w", err)
	}
	e.transport.issuerHost = reachable(entra)
	e.entra = serve(entra, e.transport.issuer, issuerTLS, e.options.Logger)

	identity, err := config.Listen(ctx, "tcp", e.options.IdentityAddr)
	if err != nil {
		return fmt.Errorf("listen for managed identity: %w", err)
	}
	e.transport.identityHost = reachable(identity)
	e.identity = serve(identity, e.transport.identity, nil, e.options.Logger)

	e.transport.network = &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: e.ca.pool()},
	}
	return nil
}

// Close ends every connection, request and goroutine of the emulator and
// returns when they have ended. Calling it again does nothing.
func (e *Emulator) Close() error {
	var errs []error
	e.closing.Do(func() {
		e.mu.Lock()
		close(e.done)
		release := e.release
		e.mu.Unlock()
		if release != nil {
			release()
		}
		if e.redis != nil {
			errs = append(errs, ignoreClosed(e.redis.Close()))
		}
		if e.front != nil {
			errs = append(errs, ignoreClosed(e.front.Close()))
		}
		for _, w := range []*webServer{e.entra, e.identity} {
			if w != nil {
				errs = append(errs, ignoreClosed(w.close()))
			}
		}
		if e.transport != nil && e.transport.network != nil {
			e.transport.network.CloseIdleConnections()
		}
		if e.store != nil {
			e.store.Close()
		}
		e.running.Wait()
	})
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Now is the time of the issuer and of Redis.
func (e *Emulator) Now() time.Time { return time.Now().Add(time.Duration(e.offset.Load())) }

// Advance moves the clock of the issuer and of Redis; the programs that talk
// to them keep theirs. Connections whose token has expired by then are closed
// before it returns. A negative d moves it back.
func (e *Emulator) Advance(d time.Duration) {
	e.offset.Add(int64(d))
	e.front.ExpireNow()
}

// Dial opens a Redis connection in this process, without TLS and with the same
// rules as any other. The caller closes it.
func (e *Emulator) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.done:
		return nil, errClosed
	default:
	}
	client, server := newPipe()
	e.running.Go(func() { e.front.ServeConn(e.faults.conn(server)) })
	return client, nil
}

var errClosed = errors.New("emulator: closed")
