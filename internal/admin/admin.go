// Package admin is what operators see of `entraredis proxy` over HTTP: probes,
// metrics, a status page, and a way to end it. It shows no secret, and it is
// for the loopback interface.
package admin

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/entraredis/entraredis/internal/daemon"
)

// Daemon is what the surface shows.
type Daemon interface {
	Status() []daemon.Status
	Stopping() bool
	Check(ctx context.Context, target string) error
}

// Options change the surface. Daemon must be set.
type Options struct {
	Daemon  Daemon
	Version string

	// BackendCheck has /readiness open a connection to each cache, as
	// /readiness?backend=1 does.
	BackendCheck bool

	// AnyHost takes requests for any host name. Without it only those for
	// localhost and IP addresses are answered, so that no web page can have a
	// browser on this machine ask, by a name that it makes resolve to loopback.
	AnyHost bool

	// Shutdown, if set, ends the program; POST /quitquitquit calls it.
	Shutdown func()

	// Reloads tells what became of configurations; nil: there is none to reload.
	Reloads func() Reloads

	// Pprof adds /debug/pprof/.
	Pprof bool
}

// Reloads counts configurations that were read again.
type Reloads struct {
	Good, Bad uint64
	Err       string    // of the last, "" if it was good
	Last      time.Time // zero before the first
}

// checkTimeout bounds a backend check. The service may take 10 seconds for AUTH.
const checkTimeout = 12 * time.Second

type server struct {
	Options
	began time.Time
}

// New returns the surface.
func New(o Options) http.Handler {
	s := &server{Options: o, began: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /startup", s.startup)
	mux.HandleFunc("GET /liveness", s.liveness)
	mux.HandleFunc("GET /readiness", s.readiness)
	mux.Handle("GET /metrics", metricsHandler(s))
	mux.HandleFunc("GET /status", s.statusJSON)
	mux.HandleFunc("GET /{$}", s.page)
	mux.Handle("GET /page/", http.FileServerFS(pageFiles))
	mux.HandleFunc("POST /quitquitquit", s.quit)
	if o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses requests that a web page may have caused, and has no answer
// taken for more than it is.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.AnyHost && !isLocal(r.Host) {
			http.Error(w, "ask by IP address or as localhost", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func isLocal(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
}

// noTarget is the answer before the first configuration has been applied: the
// admin address is there before that.
const noTarget = "no target yet\n"

// startup succeeds once each target was tried, whatever came out.
func (s *server) startup(w http.ResponseWriter, _ *http.Request) {
	all := s.Daemon.Status()
	if len(all) == 0 {
		answer(w, http.StatusServiceUnavailable, noTarget)
		return
	}
	for _, t := range all {
		if !t.Tried {
			answer(w, http.StatusServiceUnavailable, t.Name+": starting\n")
			return
		}
	}
	answer(w, http.StatusOK, "started\n")
}

// liveness succeeds as long as anything here runs: nothing that a restart could
// not mend makes it fail.
func (s *server) liveness(w http.ResponseWriter, _ *http.Request) {
	s.Daemon.Status() // a lock that is never given back is worth a restart
	answer(w, http.StatusOK, "alive\n")
}

// readiness succeeds if each target (or the one of ?target=NAME) serves and has
// a valid token, and, if asked, can open a connection to its cache.
func (s *server) readiness(w http.ResponseWriter, r *http.Request) {
	if s.Daemon.Stopping() {
		answer(w, http.StatusServiceUnavailable, "shutting down\n")
		return
	}
	only := r.FormValue("target")
	backend := s.BackendCheck
	switch r.FormValue("backend") {
	case "1", "true":
		backend = true
	case "0", "false":
		backend = false
	}
	all := s.Daemon.Status()
	if len(all) == 0 {
		answer(w, http.StatusServiceUnavailable, noTarget)
		return
	}
	var asked []daemon.Status
	for _, t := range all {
		if only == "" || t.Name == only {
			asked = append(asked, t)
		}
	}
	if only != "" && len(asked) == 0 {
		answer(w, http.StatusNotFound, fmt.Sprintf("no target is named %q\n", only))
		return
	}
	problems := make([]string, len(asked))
	var checks sync.WaitGroup
	for i, t := range asked {
		problems[i] = problem(t, time.Now())
		if problems[i] == "" && backend {
			checks.Go(func() {
				ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
				defer cancel()
				if err := s.Daemon.Check(ctx, t.Name); err != nil {
					problems[i] = err.Error()
				}
			})
		}
	}
	checks.Wait()
	code, text := http.StatusOK, ""
	for i, t := range asked {
		if problems[i] == "" {
			text += t.Name + ": ready\n"
			continue
		}
		code = http.StatusServiceUnavailable
		text += t.Name + ": " + problems[i] + "\n"
	}
	answer(w, code, text)
}

// problem is why a target is not ready, "" if it is.
func problem(t daemon.Status, now time.Time) string {
	switch {
	case t.State != daemon.Serving && t.Err != nil:
		return t.Err.Error()
	case t.State != daemon.Serving:
		return string(t.State)
	case !now.Before(t.Token.ExpiresOn) && t.Token.LastError != nil:
		return "no valid token: " + t.Token.LastError.Error()
	case !now.Before(t.Token.ExpiresOn):
		return "no token yet"
	case t.Dialer.Open == 0 && now.Sub(t.Proxy.LastDialFailure) < unreachableFor:
		return "no connection to the cache: " + words(t.Proxy.LastDialError)
	}
	return ""
}

// unreachableFor is for how long a dial that failed says that the cache cannot be
// reached, where there is no connection to it. Spares are tried more often, and without
// any, who is not ready is sent no clients that would try.
const unreachableFor = time.Minute

func (s *server) quit(w http.ResponseWriter, _ *http.Request) {
	if s.Shutdown == nil {
		answer(w, http.StatusForbidden, "not allowed: start the proxy with --allow-shutdown\n")
		return
	}
	answer(w, http.StatusOK, "shutting down\n")
	s.Shutdown()
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // the one who asked may have gone
}
