package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/entraredis/entraredis/internal/admin"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/internal/systemd"
	"github.com/entraredis/entraredis/proxy"
)

// lookEvery is how often files are looked at for a change.
const lookEvery = 2 * time.Second

// service is `entraredis proxy` at work.
type service struct {
	loader
	log     *slog.Logger
	level   *slog.LevelVar
	daemon  *daemon.Daemon
	systemd systemd.Notifier
	quit    chan struct{} // closed by POST /quitquitquit
	quitted sync.Once

	// Of the goroutine of run alone.
	began   *configuration // as the process began
	refused *configuration // the last one, if targets of it were refused
	files   []string
	stamp   string
	roomy   bool // spareProcessors has been asked

	mu      sync.Mutex // guards the rest
	reloads admin.Reloads
}

func runProxy(ctx context.Context, s streams, l loader) error {
	c, err := l.load()
	if err != nil {
		return err
	}
	v := &service{loader: l, level: &slog.LevelVar{}, systemd: systemd.New(s.env), quit: make(chan struct{}), began: c}
	v.level.Set(c.process.level())
	options := &slog.HandlerOptions{Level: v.level}
	if c.process.logFormat.value == "json" {
		v.log = slog.New(slog.NewJSONHandler(s.err, options))
	} else {
		v.log = slog.New(slog.NewTextHandler(s.err, options))
	}
	v.daemon = daemon.New(v.log, c.process.drain.value)
	// Signals before anything can be seen from outside: whoever sees it may
	// send one.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	stopAdmin, err := v.serveAdmin()
	if err != nil {
		return err
	}
	defer stopAdmin()
	v.files, v.stamp = c.files, stampsOf(c.files)
	v.apply(c)
	err = v.run(ctx, hup)
	v.notify(systemd.Stopping)
	v.daemon.Shutdown()
	return err
}

// run goes on until it is told to end. The error is that of a start at which no
// target could begin.
func (v *service) run(ctx context.Context, hup <-chan os.Signal) error {
	tried := make(chan error, 1)
	go func() { tried <- v.daemon.Tried(ctx) }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var watchdog <-chan time.Time
	if every := v.systemd.WatchdogEvery(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		watchdog = t.C
	}
	for {
		select {
		case err := <-tried:
			if err != nil {
				continue // ctx has ended
			}
			if err := v.daemon.Err(); err != nil {
				return err
			}
			v.log.Info("started", "targets", len(v.began.targets))
			v.notify(systemd.Ready)
		case <-hup:
			v.reload("SIGHUP")
		case <-look.C:
			v.look()
		case <-watchdog:
			v.daemon.Status() // a lock that is never given back is worth a restart
			v.notify(systemd.Watchdog)
		case <-v.quit:
			v.log.Info("shutting down", "reason", "/quitquitquit")
			return nil
		case <-ctx.Done():
			v.log.Info("shutting down", "reason", context.Cause(ctx))
			return nil
		}
	}
}

// apply has the targets be those of c.
func (v *service) apply(c *configuration) daemon.Change {
	if !v.roomy && slices.ContainsFunc(c.targets, func(t *target) bool { return t.upstreams == proxy.UpstreamsDedicated }) {
		spareProcessors(v.env)
		v.roomy = true
	}
	return v.daemon.Apply(c.daemonTargets(v.streams, v.log))
}

// spareProcessors gives Go twice as many processors, unless it has but one or its
// variable says how many. Package proxy lets clients with an upstream each have half
// of them, which is all the machine's then, and pays least while as many are idle.
func spareProcessors(env func(string) string) {
	if n := runtime.GOMAXPROCS(0); n > 1 && runtime.GOOS == "linux" && env("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * n)
	}
}

// look sees what may have changed by itself. What a refused target lacks need not
// be a file that is looked at: it may be a certificate, a right to read or a user.
func (v *service) look() {
	switch {
	case stampsOf(v.files) != v.stamp:
		v.reload("a file changed")
	case v.refused != nil:
		v.exchange(v.refused, "what was refused is tried again")
	}
}

// reload reads the configuration again. One that is wrong changes nothing.
func (v *service) reload(why string) {
	// First, so that a change while it is read is seen as one.
	stamp := stampsOf(v.files)
	c, err := v.load()
	if err != nil {
		v.stamp, v.refused = stamp, nil
		err = withHint(err)
		v.log.Error("new configuration rejected, the old one stays in force", "reason", why, "error", err)
		v.count(err)
		return
	}
	if slices.Equal(v.files, c.files) {
		v.stamp = stamp
	} else {
		v.files, v.stamp = c.files, stampsOf(c.files)
	}
	v.level.Set(c.process.level())
	for _, name := range changed(v.began.processFlags, c.processFlags) {
		v.log.Warn("a change of this setting needs a restart", "setting", name)
	}
	v.exchange(c, why)
}

// exchange has the targets be those of c. One that changed and cannot be opened
// stays as it was, and the rest of c is in force. To be told that again is no news.
func (v *service) exchange(c *configuration, why string) {
	change := v.apply(c)
	var names []string
	var errs []error
	for _, r := range change.Refused {
		names = append(names, r.Name)
		errs = append(errs, fmt.Errorf("target %s: %w", r.Name, withHint(r.Err)))
	}
	err := errors.Join(errs...)
	if c == v.refused && err != nil && err.Error() == v.reloaded().Err && len(change.Started)+len(change.Stopped) == 0 {
		return
	}
	v.refused = nil
	if err != nil {
		v.refused = c
	}
	for _, r := range change.Refused {
		v.log.Error("new settings of a target refused, it stays as it was", "target", r.Name, "error", withHint(r.Err))
	}
	v.log.Info("configuration applied", "reason", why, "kept", change.Kept, "started", change.Started, "stopped", change.Stopped, "refused", names)
	v.count(err)
}

// withHint is for where an error is one line.
func withHint(err error) error {
	if _, hint := classify(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

func (v *service) count(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reloads.Last, v.reloads.Err = time.Now(), ""
	if err != nil {
		v.reloads.Bad++
		v.reloads.Err = err.Error()
		return
	}
	v.reloads.Good++
}

func (v *service) reloaded() admin.Reloads {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reloads
}

func (v *service) notify(state string) {
	if err := v.systemd.Notify(state); err != nil {
		v.log.Warn("tell systemd", "error", err)
	}
}

// serveAdmin serves the admin address, if there is one, until it is stopped:
// last of all, so that a drain can be watched.
func (v *service) serveAdmin() (stop func(), err error) {
	p := v.began.process
	if p.admin == adminOff {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", p.admin)
	if err != nil {
		return nil, &hintedError{err: fmt.Errorf("admin address: %w", err), hint: "choose another with --admin, or off"}
	}
	host, _, _ := net.SplitHostPort(p.admin)
	options := admin.Options{Daemon: v.daemon, Version: readBuild().version, BackendCheck: p.backendCheck, AnyHost: !isLoopback(host), Reloads: v.reloaded, Pprof: p.prof}
	if p.allowShutdown {
		options.Shutdown = func() { v.quitted.Do(func() { close(v.quit) }) }
	}
	server := &http.Server{Handler: admin.New(options), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(v.log.Handler(), slog.LevelWarn)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			v.log.Error("admin address", "error", err)
		}
	}()
	v.log.Info("admin", "url", "http://"+l.Addr().String()+"/")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
		<-served
	}, nil
}

func stampsOf(paths []string) string {
	var b strings.Builder
	for _, p := range paths {
		b.WriteString(stampOf(p) + "\n")
	}
	return b.String()
}
