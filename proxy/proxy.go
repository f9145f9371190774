package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/entraredis/entraredis"
)

// Proxy carries the connections of clients to one cache. Dialer and Addr must
// be set; the fields must not be changed once Serve was called. It is safe for
// concurrent use and must not be copied.
type Proxy struct {
	// Dialer opens the upstream connections. Its ClientAuth, Admit and NetDial are
	// set by the proxy, NetDial to what it was and more, so it must be the proxy's
	// own.
	Dialer *entraredis.Dialer

	// Addr is the cache's address, "host:port".
	Addr string

	// Auth decides on the username and password of a client, which it sends
	// with AUTH or HELLO; with AUTH PASSWORD the username is "default". Nil:
	// clients need none, and what they send is accepted. It must be safe for
	// concurrent use, return at once, and not call the Proxy. See [Password].
	Auth func(username, password []byte) bool

	// MaxClients bounds the clients that are connected at a time. One more is
	// told so in Redis's words and closed. Zero: no bound.
	MaxClients int

	// MaxCommand bounds one command of a client, in bytes from its first to its
	// last. A client that sends a larger one is told so, behind the replies to
	// what it sent before, and closed: at the argument, or number of arguments,
	// that is announced and would be too much. Nothing of the command is run;
	// what was sent before may be. Small limits refuse HELLO and the like too.
	// Zero: no bound but the cache's own, which is 512 MB for an argument
	// (proto-max-bulk-len) and 1 GB for a command that is not complete
	// (client-query-buffer-limit). The proxy needs none: it passes on what it has
	// got of a command, and keeps at most 64 KiB of it.
	MaxCommand int64

	// MaxReply bounds one reply, with all that is nested in it, in bytes from
	// its first to its last; pushes and messages are replies. At a larger one the
	// client is told so in its place, unless it has been given a part of it
	// already, and closed. The command has run. Zero: no bound, as in Redis. The
	// proxy needs none: see MaxCommand.
	MaxReply int64

	// MaxDials bounds the upstreams that are being opened at a time, so that a
	// thousand clients behind a failover do not become a thousand handshakes at
	// once. The others wait for their turn, in the order in which they came, up
	// to Dialer.ConnectTimeout; a RESP2 subscriber that is handed over to another
	// upstream lets clients go first, and waits for as long as its token lasts. While the cache cannot be reached they dial one
	// at a time, with pauses of 50 ms to 2 s. Zero: 16; negative: no bound.
	MaxDials int

	// Spares is how many upstreams are kept open and authenticated ahead of
	// need, so that a client that stays only for a moment need not wait for a
	// handshake. Each is one of the cache's connections. Zero: none.
	Spares int

	// MaintenanceEvents has a connection subscribe to AzureRedisEvents, on which
	// Azure Cache for Redis announces maintenance: see Stats.Maintenance.
	MaintenanceEvents bool

	// Upstreams says how clients share upstream connections. The zero value is
	// UpstreamsDedicated: on Linux, half of GOMAXPROCS then carry for clients, so
	// that a program that has nothing else to do may set twice as many as there are.
	Upstreams Upstreams

	// Pipes is how many upstreams are shared, unless Upstreams is
	// UpstreamsDedicated. Zero: 2, or half of GOMAXPROCS if that is more.
	Pipes int

	// ReplyTimeout bounds how long a shared upstream may be silent while replies
	// are due. Then it is taken for dead, and the commands in flight on it fail;
	// commands that wait for something are never on one, but a script that runs
	// for longer is cut off from its client. Zero: 30 seconds; negative: no bound.
	ReplyTimeout time.Duration

	// LoginTimeout bounds how long a client may take to authenticate, if Auth
	// is set. Zero: 15 seconds.
	LoginTimeout time.Duration

	// Logger is told of clients that come and go (level debug) and of upstreams
	// that cannot be opened (level warn). Never of what they send. Nil: silent.
	Logger *slog.Logger

	latencies latencies
	once      sync.Once
	log       *slog.Logger
	upstreams *upstreams
	loops     loops
	rides     atomic.Uint32 // so far
	hub       *hub          // nil if nothing is shared
	spares    sync.Once     // they are kept
	mu        sync.Mutex    // guards the rest
	clients   map[*client]struct{}
	doors     map[net.Listener]struct{}
	draining  bool
	closing   chan struct{} // closed when draining begins
	left      chan struct{} // closed when the last client has left, if somebody waits for that
	stats     Stats
}

// ErrClosed is what Serve returns behind Shutdown or Close.
var ErrClosed = errors.New("proxy: closed")

// Stats counts what a Proxy did.
type Stats struct {
	Clients      int    // connected now
	Accepted     uint64 // since the beginning
	Refused      uint64 // of these, because there were too many
	LoginsFailed uint64 // wrong passwords

	// Clients that were closed because of one that was larger than MaxCommand, or
	// MaxReply.
	OversizedCommands uint64
	OversizedReplies  uint64

	// DialFailures counts upstreams that could not be opened, or replaced, for
	// whatever: for a client, or the many that wait for one to share, as a spare,
	// to listen for maintenance, for Check. The token, or the turn, may not have
	// been had in time.
	DialFailures uint64

	BytesUp   uint64 // from clients to the cache
	BytesDown uint64
	Commands  uint64 // as far as they can be told apart: not behind MONITOR, or what is not RESP
	Latencies Latencies

	Dialing      int    // upstreams that are being opened now
	DialsWaiting int    // that wait for their turn to be opened
	Spares       int    // open and not taken
	SparesTaken  uint64 // by clients, since the beginning

	// FailedDials is DialFailures by the kind of error.
	FailedDials map[entraredis.Kind]uint64

	// LastDialError is why an upstream could not be opened last, and
	// LastDialFailure when; nil and zero before the first.
	LastDialError   error
	LastDialFailure time.Time

	// Maintenance counts the events that the cache has announced, by type, and
	// LastMaintenance is the last of them.
	Maintenance     map[string]uint64
	LastMaintenance Maintenance

	// Restored counts upstreams that ended while their client was owed nothing,
	// and in whose place another one was put.
	Restored uint64

	// With shared upstreams:
	Pipes        int    // shared upstreams that are open
	PipesLost    uint64 // that ended
	CommandsLost uint64 // that were answered with an error because their pipe ended
	Moves        uint64 // of a client to an upstream of its own
	SlowReaders  uint64 // clients that were closed because they did not read
}

// Stats returns a snapshot.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Clients = len(p.clients)
	s.FailedDials, s.Maintenance = maps.Clone(s.FailedDials), maps.Clone(s.Maintenance)
	if p.upstreams != nil {
		p.upstreams.count(&s)
	}
	for c := range p.clients {
		s.BytesUp += c.up.Load()
		s.BytesDown += c.down.Load()
		s.Commands += c.commands.load()
	}
	s.Latencies = p.latencies.snapshot()
	return s
}

func (s *Stats) dialFailed(err error) {
	kind := entraredis.KindUnknown
	if e, ok := errors.AsType[*entraredis.TokenError](err); ok {
		kind = e.Kind
	} else if e, ok := errors.AsType[*entraredis.AuthError](err); ok {
		kind = e.Kind
	}
	if s.FailedDials == nil {
		s.FailedDials = map[entraredis.Kind]uint64{}
	}
	s.DialFailures++
	s.FailedDials[kind]++
	s.LastDialError, s.LastDialFailure = err, time.Now()
}

func (p *Proxy) count(change func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

func (p *Proxy) init() {
	p.once.Do(func() {
		p.log = p.Logger
		if p.log == nil {
			p.log = slog.New(slog.DiscardHandler)
		}
		p.Dialer.ClientAuth = p.permits
		pollable(p.Dialer)
		p.mu.Lock() // for Stats, which may be called at any time
		defer p.mu.Unlock()
		p.clients, p.doors, p.closing = map[*client]struct{}{}, map[net.Listener]struct{}{}, make(chan struct{})
		p.upstreams, p.loops = newUpstreams(p), newLoops(p.Upstreams)
		p.Dialer.Admit = p.upstreams.admit
		if p.Upstreams != UpstreamsDedicated {
			p.hub = newHub(p)
		}
	})
}

func (p *Proxy) permits(username, password []byte) bool {
	return p.Auth == nil || p.Auth(username, password)
}

// Check opens an upstream, up to authentication, and closes it. It takes its
// turn with the others, see MaxDials. Errors are those of the Dialer and, if ctx
// ends first, ctx's, with what it waited for.
func (p *Proxy) Check(ctx context.Context) error {
	p.init()
	return p.upstreams.check(ctx)
}

// Serve accepts clients from l until Shutdown, Close or an error of l, and
// closes l. It may be called with several listeners. The error is never nil.
//
// On Linux, with shared upstreams and without Auth, clients of a TCP or Unix
// listener are accepted in another way than by l.Accept: a deadline of l has no
// effect, keep-alive is that of package net by default, and that somebody else has
// closed l is noticed within a second, or at once if l is a Listener.
func (p *Proxy) Serve(l net.Listener) error {
	p.init()
	defer l.Close()
	if !p.open(l) {
		return ErrClosed
	}
	defer p.shut(l)
	p.spares.Do(func() {
		p.upstreams.keepSpares(p.Spares, p.log)
		if p.MaintenanceEvents {
			p.upstreams.watchMaintenance(p.log, func(m Maintenance) { p.count(func(s *Stats) { s.announced(m) }) })
		}
	})
	if err, ok := p.acceptInLoop(l); ok {
		return err
	}
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			if cl := p.admit(c); cl != nil {
				cl.welcome()
			}
			continue
		}
		if p.isDraining() {
			return ErrClosed
		}
		if !passes(err) {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
		p.log.Warn("accept", "error", err, "pause", pause)
		time.Sleep(pause)
	}
}

// maxAcceptPause bounds how long no client is accepted behind an error that
// passes.
const maxAcceptPause = time.Second

// passes reports whether Accept may work again: others give file descriptors
// back, or it was one client that left too early.
func passes(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p *Proxy) open(l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draining {
		p.doors[l] = struct{}{}
	}
	return !p.draining
}

func (p *Proxy) shut(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.doors, l)
}

func (p *Proxy) isDraining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
}

// admit returns the client on c, or nil if there is no room for it.
func (p *Proxy) admit(c net.Conn) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Accepted++
	if p.draining {
		c.Close()
		return nil
	}
	if p.MaxClients > 0 && len(p.clients) >= p.MaxClients {
		p.stats.Refused++
		if s, ok := c.(*socket); ok {
			s.attach()
		}
		go dismiss(c, "ERR max number of clients reached")
		return nil
	}
	if s := socketOf(c); s != nil {
		c = s
	}
	cl := &client{proxy: p, conn: c, in: c, since: time.Now()}
	cl.ctx, cl.cancel = context.WithCancelCause(context.Background())
	p.clients[cl] = struct{}{}
	return cl
}

// nextLane returns the lane of a client with an upstream of its own.
func (p *Proxy) nextLane() lane {
	i := int(p.rides.Add(1) & math.MaxInt32)
	return lane{spread: p.loops.of(i), gathered: p.loops.few().of(i)}
}

// leave is the end of a client.
func (p *Proxy) leave(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, c)
	p.stats.BytesUp += c.up.Load()
	p.stats.BytesDown += c.down.Load()
	p.stats.Commands += c.commands.load()
	if len(p.clients) == 0 && p.left != nil {
		close(p.left)
		p.left = nil
	}
}

// Shutdown stops accepting, and closes each client once it has had an answer
// to what it sent last and has been quiet for a quarter of a second: pools keep
// their connections for ever, so they are not waited for. It returns when all have
// left, or with ctx's error; Close ends those that remain.
func (p *Proxy) Shutdown(ctx context.Context) error {
	left := p.drain()
	tick := time.NewTicker(quiet / 5)
	defer tick.Stop()
	for {
		for _, c := range p.all() {
			if c.isQuiet() {
				c.end(errDraining)
			}
		}
		select {
		case <-left:
			p.closeHub()
			p.loops.close()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// drain closes the doors. The channel is closed when the last client has left.
func (p *Proxy) drain() <-chan struct{} {
	p.init()
	p.upstreams.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draining {
		close(p.closing)
	}
	p.draining = true
	for l := range p.doors {
		l.Close()
	}
	left := make(chan struct{})
	switch {
	case len(p.clients) == 0:
		close(left)
	case p.left == nil:
		p.left = left
	default:
		left = p.left
	}
	return left
}

// Close stops accepting and ends all clients. It returns when they have left.
func (p *Proxy) Close() error {
	left := p.drain()
	for _, c := range p.all() {
		c.end(errDraining)
	}
	p.closeHub()
	<-left
	p.loops.close()
	p.upstreams.keepers.Wait()
	return nil
}

func (p *Proxy) closeHub() {
	if p.hub != nil {
		p.hub.close()
	}
}

func (p *Proxy) all() []*client {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*client, 0, len(p.clients))
	for c := range p.clients {
		all = append(all, c)
	}
	return all
}
