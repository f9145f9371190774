package entraredis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// handshakeError marks an error of the TLS handshake.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// contextError is the context's error, if that is what ended an operation on
// the connection, with what the operation said.
func contextError(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w during AUTH", cause)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &AuthError{Kind: KindAuthTimeout, Err: err}
	}
	return fmt.Errorf("connection closed during AUTH: %w", err)
}

// dialError classifies an error on the way to an authenticated connection.
func dialError(addr string, err error) error {
	e := &AuthError{Kind: KindUnreachable, Addr: addr, Err: err}
	if _, ok := errors.AsType[*handshakeError](err); !ok {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return e
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return e // the network, in the midst of the handshake
	}
	e.Kind = KindTLS
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		e.Kind = KindTLSName
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		e.Err = fmt.Errorf("%w (this looks like a port without TLS)", err)
	}
	return e
}
