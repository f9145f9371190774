package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

type credential func() (azcore.AccessToken, error)

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c()
}

// open makes an Open for the emulator.
func open(em *emulator.Emulator) func(func(entraredis.Event)) (*daemon.Upstream, error) {
	return func(onEvent func(entraredis.Event)) (*daemon.Upstream, error) {
		source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: em.Mint("app", nil), ExpiresOn: time.Now().Add(time.Hour)}, nil
		}), &entraredis.Options{OnEvent: onEvent})
		if err != nil {
			return nil, err
		}
		return &daemon.Upstream{Source: source, Proxy: &proxy.Proxy{Addr: em.RedisAddr(),
			Dialer: &entraredis.Dialer{Source: source, TLSConfig: em.TLSConfig()}}}, nil
	}
}

func loopback() []daemon.Listen { return []daemon.Listen{{Network: "tcp", Address: "127.0.0.1:0"}} }

func newTarget(em *emulator.Emulator, name string) daemon.Target {
	return daemon.Target{Name: name, Addr: em.RedisAddr(), Listen: loopback(), Fingerprint: name, Open: open(em)}
}

func tried(t *testing.T, d *daemon.Daemon) []daemon.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := d.Tried(ctx); err != nil {
		t.Fatal(err)
	}
	return d.Status()
}

type client struct {
	*testing.T
	net.Conn
	r *resp.Reader
}

func connect(t *testing.T, network, addr string) client {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{t, c, resp.NewReader(c)}
}

func (c client) ping() error {
	if _, err := c.Write(resp.AppendCommand(nil, "PING")); err != nil {
		return err
	}
	reply, err := c.r.ReadFrame()
	if err == nil && string(reply) != "+PONG\r\n" {
		err = errors.New(string(reply))
	}
	return err
}

func (c client) must() {
	c.Helper()
	if err := c.ping(); err != nil {
		c.Fatal(err)
	}
}

func TestApplyTouchesOnlyWhatChanged(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), time.Minute)
	defer d.Shutdown()
	if got, want := d.Apply([]daemon.Target{newTarget(em, "a"), newTarget(em, "b")}), (daemon.Change{Started: []string{"a", "b"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	first := tried(t, d)
	a, b := connect(t, "tcp", first[0].Listen[0]), connect(t, "tcp", first[1].Listen[0])
	a.must()
	b.must()
	// The target that changed keeps its address, which the old one gives back.
	changed := newTarget(em, "b")
	changed.Fingerprint, changed.Listen[0].Address = "b2", first[1].Listen[0]
	got := d.Apply([]daemon.Target{newTarget(em, "c"), newTarget(em, "a"), changed})
	if want := (daemon.Change{Kept: []string{"a"}, Started: []string{"c", "b"}, Stopped: []string{"b"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	a.must()
	if err := b.ping(); err == nil { // answered or not, it is closed when it is quiet
		_, err = b.r.ReadFrame()
		if err == nil {
			t.Error("client of the old b: got a reply, want the end")
		}
	}
	now := tried(t, d)
	if now[0].Name != "c" || now[1].Name != "a" || now[1].Listen[0] != first[0].Listen[0] || now[1].Proxy.Accepted != 1 {
		t.Errorf("got %+v", now)
	}
	connect(t, "tcp", now[2].Listen[0]).must()
	if now[2].Listen[0] != first[1].Listen[0] {
		t.Errorf("got %v, want the old address %v", now[2].Listen, first[1].Listen)
	}
	if now[2].Token.ExpiresOn.IsZero() || now[2].State != daemon.Serving {
		t.Errorf("got %+v", now[2])
	}
}

// changedTo is the target with new settings at the address that the running one has.
func changedTo(target daemon.Target, addr string) daemon.Target {
	target.Fingerprint += " changed"
	target.Listen = []daemon.Listen{{Network: "tcp", Address: addr}}
	return target
}

func names(refused []daemon.Refusal) (all []string) {
	for _, r := range refused {
		all = append(all, r.Name)
	}
	return all
}

func TestAChangedTargetThatCannotBeOpenedStaysAsItWas(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), time.Minute)
	defer d.Shutdown()
	d.Apply([]daemon.Target{newTarget(em, "a"), newTarget(em, "b")})
	first := tried(t, d)
	client := connect(t, "tcp", first[0].Listen[0])
	client.must()
	missing := errors.New("the password file is missing")
	fail := func(func(entraredis.Event)) (*daemon.Upstream, error) { return nil, missing }
	a, b, c := changedTo(newTarget(em, "a"), first[0].Listen[0]), changedTo(newTarget(em, "b"), first[1].Listen[0]), newTarget(em, "c")
	good := a.Open
	a.Open, c.Open = fail, fail
	var opens atomic.Int32
	openB := b.Open
	b.Open = func(f func(entraredis.Event)) (*daemon.Upstream, error) {
		opens.Add(1)
		return openB(f)
	}
	all := []daemon.Target{c, a, b}
	// Twice: a reload that changes nothing more does no more.
	for _, want := range []daemon.Change{
		{Started: []string{"c", "b"}, Stopped: []string{"b"}, Refused: []daemon.Refusal{{Name: "a", Err: missing}}},
		{Kept: []string{"c", "b"}, Refused: []daemon.Refusal{{Name: "a", Err: missing}}},
	} {
		if got := d.Apply(all); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		now := tried(t, d)
		if len(now) != 3 || now[0].State != daemon.Failed || now[1].State != daemon.Serving || now[1].Proxy.Accepted != 1 || now[2].State != daemon.Serving {
			t.Errorf("got %+v, want only the new one to fail", now)
		}
	}
	client.must()
	connect(t, "tcp", first[1].Listen[0]).must()
	if opens.Load() != 1 {
		t.Errorf("b was opened %d times, want what was opened for the check to be used", opens.Load())
	}
	a.Open = good
	if got, want := d.Apply([]daemon.Target{a, b}), (daemon.Change{Kept: []string{"b"}, Started: []string{"a"}, Stopped: []string{"c", "a"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("when it is mended: got %+v, want %+v", got, want)
	}
	tried(t, d)
	connect(t, "tcp", first[0].Listen[0]).must()
}

// What cannot begin because another one stays is refused with it, so that no
// running target is given up for one that would find its address taken.
func TestARefusalKeepsWhoWantsItsAddress(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), time.Minute)
	defer d.Shutdown()
	d.Apply([]daemon.Target{newTarget(em, "a"), newTarget(em, "b")})
	first := tried(t, d)
	// Real addresses, which port 0 is not.
	a, b := changedTo(newTarget(em, "a"), first[0].Listen[0]), changedTo(newTarget(em, "b"), first[1].Listen[0])
	d.Apply([]daemon.Target{a, b})
	tried(t, d)
	clients := []client{connect(t, "tcp", first[0].Listen[0]), connect(t, "tcp", first[1].Listen[0])}
	no := func(func(entraredis.Event)) (*daemon.Upstream, error) { return nil, errors.New("no") }
	// Under another name: it is the address that clients know.
	renamed := a
	renamed.Name, renamed.Fingerprint, renamed.Open = "renamed", "renamed", no
	if got := d.Apply([]daemon.Target{renamed, b}); !slices.Equal(names(got.Refused), []string{"renamed"}) || !slices.Equal(got.Kept, []string{"b"}) || got.Stopped != nil {
		t.Errorf("got %+v, want the renamed target refused", got)
	}
	// Each takes the address of the other.
	a, b = changedTo(a, first[1].Listen[0]), changedTo(b, first[0].Listen[0])
	openA := a.Open
	var source *entraredis.Source
	a.Open = func(f func(entraredis.Event)) (*daemon.Upstream, error) {
		up, err := openA(f)
		if err == nil {
			source = up.Source
		}
		return up, err
	}
	b.Open = no
	got := d.Apply([]daemon.Target{a, b})
	if !slices.Equal(names(got.Refused), []string{"b", "a"}) || got.Started != nil || got.Stopped != nil {
		t.Fatalf("got %+v, want both refused", got)
	}
	if err := got.Refused[1].Err; !strings.Contains(err.Error(), "that of target b, which stays as it was") {
		t.Errorf("got %v, want the reason", err)
	}
	for i, c := range clients {
		c.must()
		if now := d.Status()[i]; now.Name != first[i].Name || now.Listen[0] != first[i].Listen[0] || now.State != daemon.Serving {
			t.Errorf("got %+v, want it as it was", now)
		}
	}
	if source == nil {
		t.Fatal("a was not opened")
	}
	if _, err := source.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
		t.Errorf("the source of a: got %v, want it closed", err)
	}
}

func TestOneBadTargetStopsNoOther(t *testing.T) {
	em := emulator.RunT(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
	wrong, busy := newTarget(em, "wrong"), newTarget(em, "busy")
	wrong.Open = func(func(entraredis.Event)) (*daemon.Upstream, error) { return nil, errors.New("tenant is missing") }
	busy.Listen[0].Address = taken.Addr().String()
	d.Apply([]daemon.Target{wrong, busy, newTarget(em, "good")})
	got := tried(t, d)
	if got[0].State != daemon.Failed || got[0].Err == nil || got[0].Err.Error() != "tenant is missing" {
		t.Errorf("wrong: got %+v", got[0])
	}
	if got[1].State != daemon.Failed || !errors.Is(got[1].Err, syscall.EADDRINUSE) {
		t.Errorf("busy: got %+v", got[1])
	}
	if d.Err() != nil {
		t.Errorf("Err: got %v, but one serves", d.Err())
	}
	connect(t, "tcp", got[2].Listen[0]).must()
	if err := d.Check(t.Context(), "good"); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := d.Check(t.Context(), "wrong"); err == nil || !strings.Contains(err.Error(), "tenant is missing") {
		t.Errorf("Check: got %v", err)
	}
	if err := d.Check(t.Context(), "nobody"); err == nil {
		t.Error("Check of nobody: got no error")
	}
	d.Shutdown()
	if !d.Stopping() || len(d.Apply([]daemon.Target{newTarget(em, "late")}).Started) != 0 {
		t.Error("Apply behind Shutdown started a target")
	}
	if _, err := net.Dial("tcp", got[2].Listen[0]); err == nil {
		t.Error("behind Shutdown: somebody listens")
	}
}

func TestNoneBegins(t *testing.T) {
	d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
	defer d.Shutdown()
	want := errors.New("first")
	fail := func(err error) func(func(entraredis.Event)) (*daemon.Upstream, error) {
		return func(func(entraredis.Event)) (*daemon.Upstream, error) { return nil, err }
	}
	d.Apply([]daemon.Target{{Name: "a", Fingerprint: "a", Open: fail(want)}, {Name: "b", Fingerprint: "b", Open: fail(errors.New("second"))}})
	tried(t, d)
	if got := d.Err(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestABadTargetIsTriedAgain(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
	defer d.Shutdown()
	var tries atomic.Int32
	served := make(chan struct{})
	target := newTarget(em, "a")
	good := target.Open
	target.Open = func(f func(entraredis.Event)) (*daemon.Upstream, error) {
		if tries.Add(1) == 1 {
			return nil, errors.New("not yet")
		}
		defer close(served)
		return good(f)
	}
	d.Apply([]daemon.Target{target})
	<-served
	await(t, func() bool { return d.Status()[0].State == daemon.Serving })
	connect(t, "tcp", d.Status()[0].Listen[0]).must()
}

// await polls for a state that no event tells of.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come to that")
		}
	}
}

func TestShutdownCutsOffWhoStays(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), 10*time.Millisecond)
	d.Apply([]daemon.Target{newTarget(em, "a")})
	c := connect(t, "tcp", tried(t, d)[0].Listen[0])
	c.must()
	if _, err := c.Write(resp.AppendCommand(nil, "BLPOP", "list", "0")); err != nil {
		t.Fatal(err)
	}
	d.Shutdown()
	if got, err := c.r.ReadFrame(); err == nil {
		t.Errorf("got %q, want the end", got)
	}
}

// Opening may take its time: others are told how things stand meanwhile, and a
// shutdown in between leaves nothing behind.
func TestOpeningHoldsUpNobody(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), 10*time.Millisecond)
	d.Apply([]daemon.Target{newTarget(em, "a")})
	tried(t, d)
	opening, goOn := make(chan struct{}), make(chan struct{})
	var up *daemon.Upstream
	slow := newTarget(em, "a")
	slow.Fingerprint = "changed"
	slow.Open = func(onEvent func(entraredis.Event)) (_ *daemon.Upstream, err error) {
		close(opening)
		<-goOn
		up, err = open(em)(onEvent)
		return up, err
	}
	applied := make(chan daemon.Change)
	go func() { applied <- d.Apply([]daemon.Target{slow}) }()
	<-opening
	if got := d.Status(); len(got) != 1 || got[0].State != daemon.Serving {
		t.Errorf("got %+v", got)
	}
	d.Shutdown()
	close(goOn)
	if c := <-applied; len(c.Started)+len(c.Stopped)+len(c.Refused) != 0 {
		t.Errorf("got %+v behind Shutdown", c)
	}
	if _, err := up.Source.Token(t.Context()); !errors.Is(err, entraredis.ErrClosed) {
		t.Errorf("what was opened is left behind: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	em := emulator.RunT(t)
	path := filepath.Join(t.TempDir(), "s")
	target := newTarget(em, "a")
	target.Listen = []daemon.Listen{{Network: "unix", Address: path, Mode: 0o620}}
	run := func(name string) (*daemon.Daemon, daemon.Status) {
		d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
		t.Cleanup(d.Shutdown)
		one := target
		one.Name = name
		d.Apply([]daemon.Target{one})
		return d, tried(t, d)[0]
	}
	// Left over by a process that was killed.
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	first, s := run("first")
	if s.State != daemon.Serving {
		t.Fatalf("a socket that nobody listens on: %v", s.Err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("got %v, %v, want mode 0620", info.Mode(), err)
	}
	connect(t, "unix", path).must()
	if _, s := run("second"); !errors.Is(s.Err, syscall.EADDRINUSE) {
		t.Errorf("a socket that somebody listens on: got %v", s.Err)
	}
	connect(t, "unix", path).must()
	first.Shutdown()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("behind Shutdown: got %v, want the socket gone", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, s := run("third"); s.Err == nil || !strings.Contains(s.Err.Error(), "no socket") {
		t.Errorf("a file in the way: got %v", s.Err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the file in the way was touched: %v, %v", info, err)
	}
}

// A check opens no more connections at a time than clients may.
func TestACheckTakesItsTurn(t *testing.T) {
	em := emulator.RunT(t)
	d := daemon.New(slog.New(slog.DiscardHandler), time.Second)
	defer d.Shutdown()
	begun, hold := make(chan struct{}, 2), make(chan struct{})
	target := newTarget(em, "a")
	good := target.Open
	target.Open = func(f func(entraredis.Event)) (*daemon.Upstream, error) {
		up, err := good(f)
		if err == nil {
			up.Proxy.MaxDials = 1
			up.Proxy.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				begun <- struct{}{}
				<-hold
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		}
		return up, err
	}
	d.Apply([]daemon.Target{target})
	c := connect(t, "tcp", tried(t, d)[0].Listen[0])
	if _, err := c.Write(resp.AppendCommand(nil, "PING")); err != nil {
		t.Fatal(err)
	}
	<-begun
	checked := make(chan error, 1)
	go func() { checked <- d.Check(t.Context(), "a") }()
	await(t, func() bool { return len(begun) > 0 || d.Status()[0].Proxy.DialsWaiting == 1 })
	if len(begun) > 0 {
		t.Error("the check dials beside the client")
	}
	close(hold)
	if err := <-checked; err != nil {
		t.Error(err)
	}
}
