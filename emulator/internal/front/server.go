package front

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// Server serves Redis connections. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	flavor flavor

	auths, refused, reauths, expired, accepted, commands atomic.Uint64

	wg sync.WaitGroup // one per connection

	mu        sync.Mutex // guards the rest
	closed    bool
	lastID    uint64
	conns     map[uint64]*conn
	listeners map[net.Listener]struct{}
}

// New makes a Server. The caller closes it.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:       cfg,
		flavor:    flavorOf(cfg.Flavor),
		conns:     map[uint64]*conn{},
		listeners: map[net.Listener]struct{}{},
	}
}

// Serve accepts connections until the listener fails, or the Server is
// closed: then it returns nil. It closes the listener.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, ln)
		s.mu.Unlock()
	}()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if s.isClosed() && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		go s.ServeConn(nc)
	}
}

// ServeConn serves one connection and returns when it has ended and all its
// goroutines with it. It closes the connection.
func (s *Server) ServeConn(nc net.Conn) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		nc.Close()
		return
	}
	s.lastID++
	c := newConn(s, s.lastID, nc)
	s.conns[c.id] = c
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	s.accepted.Add(1)
	c.serve()
}

// Close closes the listeners and every connection and returns when all
// goroutines have ended. Further calls do nothing but wait for the same.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for ln := range s.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	for _, c := range s.open() {
		c.kill("server closed")
	}
	s.wg.Wait()
	return nil
}

// ExpireNow closes the connections whose token has expired by the Config's
// clock, and tells the others of the time it shows. Call it after having moved
// that clock. When it returns, the connections are closed.
func (s *Server) ExpireNow() {
	for _, c := range s.open() {
		c.expire()
	}
}

// SetRules replaces the rules of every connection that is authenticated as the
// user, without disconnecting it. What later AUTHs get is Verify's affair.
func (s *Server) SetRules(username string, r *acl.Rules) {
	for _, c := range s.open() {
		c.setRules(username, r)
	}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.conns)
	s.mu.Unlock()
	return Stats{
		Auths:        s.auths.Load(),
		AuthsRefused: s.refused.Load(),
		Reauths:      s.reauths.Load(),
		Expired:      s.expired.Load(),
		Accepted:     s.accepted.Load(),
		Commands:     s.commands.Load(),
		Connections:  n,
	}
}

// Conns lists the open connections, oldest first.
func (s *Server) Conns() []Conn {
	var list []Conn
	for _, c := range s.open() {
		list = append(list, c.info())
	}
	return list
}

func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *conn) int { return int(a.id) - int(b.id) })
	return list
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
