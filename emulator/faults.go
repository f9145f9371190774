package emulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/issuer"
)

// Fault is a failure put in the way of requests. What is set of it happens in
// this order: Delay, Hang, then Reset or the answer of Status and Body. A
// fault with none of the last three lets the request go on normally.
type Fault struct {
	// Endpoint names what fails: "token", "openid", "keys", "instance",
	// "userrealm", "devicecode", "devicelogin", "authorize" of the issuer,
	// "msi" and "imds" of managed identity; "redis-accept" (a connection,
	// when its first bytes come), "redis-tls" (the handshake),
	// "redis-auth" (AUTH), "redis-hello" (HELLO with AUTH) and "redis-command"
	// (any command) of Redis; and "claims", the access tokens that the
	// issuer and managed identity give out. "" = all of HTTP.
	Endpoint string

	// Status and Body are the HTTP answer; a Body alone has status 200. For
	// Redis Body is the error line, without the leading minus.
	Status int
	Body   string

	// Command limits redis-command to commands that begin with these words,
	// such as "CLUSTER SLOTS". "" = all.
	Command string

	// Reply is what redis-command answers instead of an error line: RESP, as
	// it goes over the wire.
	Reply string

	// Certificate is what redis-tls presents: one of the Certificate
	// constants. "" = the good one.
	Certificate string

	// TLSVersion is the only one redis-tls speaks, such as tls.VersionTLS11; 0 =
	// 1.2 and 1.3, as Azure.
	TLSVersion uint16

	// Claims are put over those of the tokens given out; nil removes one. The
	// answer around the token stays as it was. For the endpoint "claims".
	Claims map[string]any

	// Delay holds the answer back.
	Delay time.Duration

	// Hang gives no answer until the fault is cleared, the caller leaves or
	// the emulator closes.
	Hang bool

	// Reset closes the connection without an answer.
	Reset bool

	// Count is how many requests the fault hits; 0 = until it is cleared.
	Count int
}

// faults are those that are set. The first that fits a request hits it.
type faults struct {
	done <-chan struct{} // closed when the emulator closes

	mu  sync.Mutex // guards set and the counts in it; never held across I/O
	set []*setFault
}

type setFault struct {
	Fault
	left    int // of Count
	cleared chan struct{}
	once    sync.Once
}

func (f *faults) add(fault Fault) (clear func()) {
	endpoints := append(issuer.Endpoints(), "", "claims", "redis-accept", "redis-tls", "redis-auth", "redis-hello", "redis-command")
	if !slices.Contains(endpoints, fault.Endpoint) {
		panic(fmt.Sprintf("emulator: fault for the unknown endpoint %q; there are %s", fault.Endpoint, strings.Join(endpoints, " ")))
	}
	if !slices.Contains([]string{"", CertificateExpired, CertificateFuture, CertificateOtherName, CertificateUnknownCA}, fault.Certificate) {
		panic(fmt.Sprintf("emulator: fault with the unknown certificate %q", fault.Certificate))
	}
	s := &setFault{Fault: fault, left: fault.Count, cleared: make(chan struct{})}
	f.mu.Lock()
	f.set = append(f.set, s)
	f.mu.Unlock()
	return func() {
		s.once.Do(func() {
			f.mu.Lock()
			f.set = slices.DeleteFunc(f.set, func(o *setFault) bool { return o == s })
			f.mu.Unlock()
			close(s.cleared)
		})
	}
}

// take returns the fault that hits a request to the endpoint, nil if none.
func (f *faults) take(endpoint string) *setFault {
	return f.takeFor(endpoint, func(*setFault) bool { return true })
}

// takeFor is take among the faults that fit.
func (f *faults) takeFor(endpoint string, fits func(*setFault) bool) *setFault {
	http := endpoint != "claims" && !strings.HasPrefix(endpoint, "redis-")
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.set {
		if s.Endpoint != endpoint && (s.Endpoint != "" || !http) || !fits(s) {
			continue
		}
		if s.Count > 0 {
			if s.left--; s.left == 0 {
				f.set = slices.Delete(f.set, i, i+1)
			}
		}
		return s
	}
	return nil
}

// wait does the Delay and the Hang; false means that nobody waits for the
// answer any more.
func (f *faults) wait(ctx context.Context, s *setFault) bool {
	if s.Delay > 0 && !f.pause(ctx, s.Delay) {
		return false
	}
	if !s.Hang {
		return true
	}
	select {
	case <-s.cleared:
		return true
	case <-ctx.Done():
	case <-f.done:
	}
	return false
}

func (f *faults) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-f.done:
	}
	return false
}

// maxBody bounds what is read of a request before its fault begins.
const maxBody = 1 << 20

// wrap puts the faults in front of an endpoint.
func (f *faults) wrap(endpoint string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := f.take(endpoint)
		if s == nil {
			h.ServeHTTP(w, r)
			return
		}
		// net/http notices that the caller left only once the body is read.
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if !f.wait(r.Context(), s) || s.Reset {
			panic(http.ErrAbortHandler)
		}
		if s.Status == 0 && s.Body == "" {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if s.Status != 0 {
			w.WriteHeader(s.Status)
		}
		_, _ = io.WriteString(w, s.Body) // an error is the caller having left
	})
}

// auth is the front's hook before each AUTH and HELLO AUTH.
func (f *faults) auth(delay time.Duration) func(context.Context, string) (string, bool) {
	return func(ctx context.Context, command string) (reply string, reset bool) {
		if delay > 0 && !f.pause(ctx, delay) {
			return "", true
		}
		s := f.take("redis-" + strings.ToLower(command))
		if s == nil {
			return "", false
		}
		if !f.wait(ctx, s) || s.Reset {
			return "", true
		}
		return s.Body, false
	}
}
