package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/proxy"
)

// A target that cannot begin is tried again, after firstPause at first and
// maxPause in the end.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// Target says what to run. Two whose Fingerprint is the same are the same: a
// new configuration leaves such a one alone, connections and all.
type Target struct {
	Name        string // unique
	Addr        string // of the cache, host:port
	Credential  string // its kind, for people
	Listen      []Listen
	Fingerprint string

	// Open makes what carries clients. It is called again, after a while, when
	// it failed. onEvent is for the Options of the Source.
	Open func(onEvent func(entraredis.Event)) (*Upstream, error)
}

// Upstream is what Open made. It is closed by the Daemon.
type Upstream struct {
	Source *entraredis.Source
	Proxy  *proxy.Proxy
	TLS    *tls.Config // of TCP listeners; nil: plain
	Owner  *Owner      // of Unix sockets; nil: the process
}

// State is what a target is doing.
type State string

// The states of a target.
const (
	Starting State = "starting"
	Serving  State = "serving"
	Failed   State = "failed" // it will be tried again
	Stopping State = "stopping"
)

// target is a Target that runs.
type target struct {
	Target
	log     *slog.Logger
	history history
	ctx     context.Context // ends when it is to accept no longer
	cancel  context.CancelFunc
	ended   chan struct{} // closed when it does not
	tried   chan struct{} // closed when it serves and was told of a token or an error, or has failed
	begun   bool          // of the Daemon, under its lock

	mu     sync.Mutex // guards the rest
	state  State
	since  time.Time
	err    error // of the last attempt to begin
	addrs  []string
	up     *Upstream
	settle sync.Once
}

func newTarget(t Target, log *slog.Logger) *target {
	r := &target{Target: t, log: log.With("target", t.Name), state: Starting, since: time.Now(), ended: make(chan struct{}), tried: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (t *target) begin() {
	t.begun = true
	go t.run()
}

// discard gives back what a target holds that has not begun.
func (t *target) discard() {
	t.cancel()
	if t.up != nil {
		t.up.Source.Close()
	}
}

// inTheWayOf reports whether the other can only begin when this one has ended.
func (t *target) inTheWayOf(other Target) bool {
	return t.Name == other.Name || slices.ContainsFunc(t.Listen, func(l Listen) bool {
		return !strings.HasSuffix(l.Address, ":0") && slices.ContainsFunc(other.Listen, func(o Listen) bool { return o.Address == l.Address })
	})
}

func (t *target) opened() *Upstream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.up
}

func (t *target) run() {
	defer close(t.ended)
	defer t.settled()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := t.serve()
		if t.ctx.Err() != nil {
			t.set(Stopping, nil, nil)
			return
		}
		if time.Since(began) > maxPause {
			pause = firstPause // it did serve
		}
		t.set(Failed, err, nil)
		t.settled()
		t.log.Error("target does not serve", "error", err, "again_in", pause)
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
		}
	}
}

// serve listens and accepts until an error or the end.
func (t *target) serve() error {
	up, err := t.upstream()
	if err != nil {
		return err
	}
	var doors []net.Listener
	defer func() {
		for _, l := range doors {
			l.Close()
		}
	}()
	var addrs []string
	for _, at := range t.Listen {
		l, err := at.open(t.ctx, up.Owner)
		if err != nil {
			return err
		}
		addr := at.Address
		if at.Network == "tcp" {
			addr = l.Addr().String() // port 0 has become one
			if up.TLS != nil {
				l = tls.NewListener(l, up.TLS)
			}
		}
		doors, addrs = append(doors, l), append(addrs, addr)
	}
	t.set(Serving, nil, addrs)
	t.log.Info("serving", "listen", addrs, "cache", t.Addr, "credential", t.Credential)
	go t.acquire(up)
	ended := make(chan error, len(doors))
	for _, l := range doors {
		go func() { ended <- up.Proxy.Serve(l) }()
	}
	select {
	case err = <-ended:
		return err
	case <-t.ctx.Done():
		for _, l := range doors {
			l.Close()
		}
		for range doors {
			<-ended
		}
		return t.ctx.Err()
	}
}

// upstream makes what carries clients, once. It is run's, and before that the
// Daemon's.
func (t *target) upstream() (*Upstream, error) {
	if t.up != nil { // written by this goroutine alone
		return t.up, nil
	}
	up, err := t.Open(t.history.add)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.up = up
	t.mu.Unlock()
	return up, nil
}

// acquire asks for the first token, so that neither the first client waits for
// it nor readiness for the first client. The target has been tried then.
func (t *target) acquire(up *Upstream) {
	if _, err := up.Source.Token(t.ctx); err != nil && t.ctx.Err() == nil {
		t.log.Error("no token yet", "error", err)
	}
	t.settled()
}

func (t *target) settled() { t.settle.Do(func() { close(t.tried) }) }

func (t *target) set(s State, err error, addrs []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != s {
		t.since = time.Now()
	}
	t.state, t.err, t.addrs = s, err, addrs
}

// stop accepts no more clients; it returns when the addresses are free.
func (t *target) stop() {
	t.cancel()
	<-t.ended
}

// drain waits, until ctx ends, for the clients of a target that was stopped,
// ends those that remain and returns how many these were.
func (t *target) drain(ctx context.Context) (cut int) {
	up := t.opened()
	if up == nil {
		return 0
	}
	if err := up.Proxy.Shutdown(ctx); err != nil {
		cut = up.Proxy.Stats().Clients
	}
	up.Proxy.Close()
	up.Source.Close()
	return cut
}

var errNotServing = errors.New("not serving")

// check opens an upstream connection, up to authentication.
func (t *target) check(ctx context.Context) error {
	t.mu.Lock()
	up, err := t.up, t.err
	t.mu.Unlock()
	if up == nil {
		return errors.Join(errNotServing, err)
	}
	return up.Proxy.Check(ctx)
}
