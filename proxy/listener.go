package proxy

import (
	"net"
	"sync"
)

// Listener is a listener that only a Proxy has. On Linux the runtime then is not woken
// for each client that a loop accepts (see Serve for when one does), and those that
// stay only for a moment take a tenth less. Its methods may be called at any time.
type Listener struct {
	inner net.Listener
	ended chan struct{} // closed by Close

	mu     sync.Mutex // guards the rest
	socket *socket    // instead of inner, once a loop has it
	closed bool
}

// NewListener returns l as one that nobody else has: l may not be used any more. It is
// for what package net listens with; others are what they are. The path of a Unix
// socket stays behind Close: whoever has made it removes it.
func NewListener(l net.Listener) *Listener {
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return &Listener{inner: l, ended: make(chan struct{})}
}

// Accept waits for a client. It fails once a Proxy has begun to accept in a loop.
func (l *Listener) Accept() (net.Conn, error) { return l.inner.Accept() }

// Addr returns the address that clients connect to.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close has no more clients accepted. The address is free when it returns.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	close(l.ended)
	if l.socket != nil {
		return l.socket.Close()
	}
	return l.inner.Close()
}

// whole returns l, also of what embeds it.
func (l *Listener) whole() *Listener { return l }

// listenerOf returns l as a Listener, or nil if it is none.
func listenerOf(l net.Listener) *Listener {
	if own, ok := l.(interface{ whole() *Listener }); ok {
		return own.whole()
	}
	return nil
}
