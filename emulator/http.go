package emulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The hosts of an emulator that does not listen.
const (
	inProcessIssuer   = "issuer.entraredis.test"
	inProcessIdentity = "identity.entraredis.test"
)

const (
	imdsHost  = "169.254.169.254"
	entraHost = "login.microsoftonline.com"
)

// webServer is an http.Server whose Close waits for its connections.
type webServer struct {
	server *http.Server
	ended  sync.WaitGroup // Serve and each connection
}

func serve(ln net.Listener, h http.Handler, config *tls.Config, logger *slog.Logger) *webServer {
	w := &webServer{}
	w.server = &http.Server{
		Handler: h, TLSConfig: config,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		// HTTP/2 off: a reset has to end the connection, not a stream of it.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				w.ended.Add(1)
			case http.StateClosed, http.StateHijacked:
				w.ended.Done()
			}
		},
	}
	w.ended.Go(func() {
		var err error
		if config != nil {
			err = w.server.ServeTLS(ln, "", "")
		} else {
			err = w.server.Serve(ln)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			logger.Error("http server ended", "addr", ln.Addr().String(), "error", err)
		}
	})
	return w
}

func (w *webServer) close() error {
	err := w.server.Close()
	w.ended.Wait()
	return err
}

// transport reaches the emulator from an HTTP client in the same process. It
// takes requests for Entra's public authority and for 169.254.169.254 to the
// emulator too, so that credentials work that cannot be pointed elsewhere.
type transport struct {
	issuer, identity http.Handler
	issuerHost       string // host:port of IssuerURL
	identityHost     string
	network          *http.Transport // nil = NoListen
	done             <-chan struct{} // closed when the emulator closes
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-t.done:
		closeBody(r)
		return nil, errClosed
	default:
	}
	switch r.URL.Host {
	case entraHost, entraHost + ":443":
		return serveInProcess(t.issuer, r)
	case imdsHost, imdsHost + ":80":
		return serveInProcess(t.identity, r)
	}
	if t.network != nil {
		return t.network.RoundTrip(r)
	}
	switch r.URL.Host {
	case t.issuerHost:
		return serveInProcess(t.issuer, r)
	case t.identityHost:
		return serveInProcess(t.identity, r)
	}
	closeBody(r)
	return nil, fmt.Errorf("emulator: %s is not reached in process: this emulator opens no sockets (NoListen)", r.URL.Host)
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// errReset is what a caller in process sees of a connection that is reset.
var errReset = errors.New("emulator: connection reset")

// serveInProcess runs the handler on the caller's goroutine.
func serveInProcess(h http.Handler, r *http.Request) (response *http.Response, err error) {
	defer closeBody(r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(p)
			}
			response, err = nil, errReset
			if ctxErr := context.Cause(r.Context()); ctxErr != nil {
				err = ctxErr
			}
		}
	}()
	h.ServeHTTP(answer, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", answer.status, http.StatusText(answer.status)), StatusCode: answer.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: answer.header,
		Body: io.NopCloser(bytes.NewReader(answer.body.Bytes())), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// recorder is an http.ResponseWriter that keeps the answer.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.wrote, r.status = true, status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.body.Write(b)
}
