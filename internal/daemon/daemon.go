// Package daemon runs the targets of `entraredis proxy` side by side: each with
// its identity and listeners, tried again where it cannot begin, and exchanged
// while the others go on.
package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/proxy"
)

// Daemon is a set of targets that run. Its methods are safe for concurrent use,
// except that Apply must not be called twice at a time. New makes one; Shutdown
// ends it.
type Daemon struct {
	log   *slog.Logger
	drain time.Duration

	mu       sync.Mutex // guards the rest
	targets  []*target  // in the order of the configuration
	stopping bool
	old      sync.WaitGroup // targets that are being drained
}

// New returns a Daemon without targets. drain is how long the clients of a
// target that goes may take to leave.
func New(log *slog.Logger, drain time.Duration) *Daemon {
	return &Daemon{log: log, drain: drain}
}

// Change says what Apply did, by the names of targets.
type Change struct {
	Kept, Started, Stopped []string
	Refused                []Refusal
}

// Refusal is a target that was not started, so that what it was to take the place
// of goes on.
type Refusal struct {
	Name string
	Err  error
}

// Apply runs these targets and no others. What runs already, by its
// Fingerprint, is not touched. A target that goes gives its addresses back at
// once and is drained in the background.
//
// A target that takes the place of one that runs is opened before that one is
// stopped, and refused if it cannot be. Refused is also who needs a name or an
// address that is not given back for this reason. A target in nobody's place is
// started whatever becomes of it.
func (d *Daemon) Apply(targets []Target) Change {
	var c Change
	current := d.all()
	running := map[string]*target{}
	for _, t := range current {
		running[t.Fingerprint] = t
	}
	next := make([]*target, len(targets))
	for i, t := range targets {
		if r, ok := running[t.Fingerprint]; ok {
			next[i] = r
			delete(running, t.Fingerprint)
			c.Kept = append(c.Kept, t.Name)
		}
	}
	// One that could not be opened itself has no clients to lose.
	var going []*target
	for _, r := range current {
		if running[r.Fingerprint] == r && r.opened() != nil {
			going = append(going, r)
		}
	}
	var stay []*target
	stay, c.Refused = d.prepare(targets, next, going) // which may take its time
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		for _, n := range next {
			if n != nil && !n.begun {
				n.discard()
			}
		}
		return Change{}
	}
	for _, r := range current {
		if running[r.Fingerprint] == r && !slices.Contains(stay, r) {
			c.Stopped = append(c.Stopped, r.Name)
			r.stop()
			d.old.Go(func() { d.drainOne(r) })
		}
	}
	d.targets = nil
	for i, t := range targets {
		n := next[i]
		if n == nil {
			for _, r := range replaced(t, going) {
				if !slices.Contains(d.targets, r) {
					d.targets = append(d.targets, r)
				}
			}
			continue
		}
		if !n.begun {
			c.Started = append(c.Started, t.Name)
			n.begin()
		}
		d.targets = append(d.targets, n)
	}
	return c
}

// prepare makes those of next that are missing, and opens them if they are to
// take the place of one of going. What is refused is missing still, and stay are
// those of going that go on instead.
func (d *Daemon) prepare(targets []Target, next, going []*target) (stay []*target, refused []Refusal) {
	errs := make([]error, len(targets))
	for i, t := range targets {
		if next[i] == nil {
			next[i] = newTarget(t, d.log)
			if len(replaced(t, going)) > 0 {
				_, errs[i] = next[i].upstream()
			}
		}
	}
	for again := true; again; {
		again = false
		for i, t := range targets {
			if next[i] == nil || next[i].begun {
				continue
			}
			for _, r := range stay {
				if errs[i] == nil && r.inTheWayOf(t) {
					errs[i] = fmt.Errorf("its name or address is that of target %s, which stays as it was because its new settings were refused: mend those", r.Name)
				}
			}
			if errs[i] != nil {
				next[i].discard()
				next[i] = nil
				stay = append(stay, replaced(t, going)...)
				refused = append(refused, Refusal{t.Name, errs[i]})
				again = true
			}
		}
	}
	return stay, refused
}

// replaced are those of going whose place t takes: that of its name, else those
// at its addresses.
func replaced(t Target, going []*target) (all []*target) {
	for _, r := range going {
		if r.Name == t.Name {
			return []*target{r}
		}
	}
	for _, r := range going {
		if r.inTheWayOf(t) {
			all = append(all, r)
		}
	}
	return all
}

func (d *Daemon) drainOne(t *target) {
	ctx, cancel := context.WithTimeout(context.Background(), d.drain)
	defer cancel()
	if cut := t.drain(ctx); cut > 0 {
		t.log.Warn("clients cut off, the drain time-out is over", "clients", cut)
	} else {
		t.log.Info("drained")
	}
}

func (d *Daemon) all() []*target {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.targets)
}

// Tried waits until each target serves and its credential has answered, or has
// failed, or until ctx ends.
func (d *Daemon) Tried(ctx context.Context) error {
	for _, t := range d.all() {
		select {
		case <-t.tried:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Err returns the error of the first target if none has come to serve.
func (d *Daemon) Err() error {
	var first error
	for _, t := range d.all() {
		t.mu.Lock()
		state, err := t.state, t.err
		t.mu.Unlock()
		if state != Failed {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Shutdown stops accepting, drains, and returns when all clients have left or
// the drain time-out is over.
func (d *Daemon) Shutdown() {
	d.mu.Lock()
	d.stopping = true
	targets := d.targets
	d.mu.Unlock()
	for _, t := range targets {
		t.cancel()
	}
	for _, t := range targets {
		t.stop()
		d.old.Go(func() { d.drainOne(t) })
	}
	d.old.Wait()
}

// Status is what a target has done and does.
type Status struct {
	Name, Addr, Credential string
	Listen                 []string // addresses that answer
	State                  State
	Since                  time.Time
	Err                    error // why it does not serve
	Tried                  bool  // see Tried

	Token   entraredis.Status
	Dialer  entraredis.Stats
	Proxy   proxy.Stats
	Minutes []Minute // of the last ninety, those in which something happened
	Events  []Event  // the last ones
}

// Status returns a snapshot of all targets, in the order of the configuration.
func (d *Daemon) Status() []Status {
	var all []Status
	for _, t := range d.all() {
		all = append(all, t.status())
	}
	return all
}

// Stopping reports whether Shutdown was called.
func (d *Daemon) Stopping() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopping
}

// Check opens a connection to the cache of the target of that name, up to
// authentication, and closes it. It takes its turn with those for clients.
func (d *Daemon) Check(ctx context.Context, name string) error {
	for _, t := range d.all() {
		if t.Name == name {
			return t.check(ctx)
		}
	}
	return fmt.Errorf("no target is named %q", name)
}

func (t *target) status() Status {
	s := Status{Name: t.Name, Addr: t.Addr, Credential: t.Credential}
	select {
	case <-t.tried:
		s.Tried = true
	default:
	}
	t.mu.Lock()
	s.State, s.Since, s.Err, s.Listen = t.state, t.since, t.err, t.addrs
	up := t.up
	t.mu.Unlock()
	if up != nil {
		s.Token, s.Dialer, s.Proxy = up.Source.Status(), up.Proxy.Dialer.Stats(), up.Proxy.Stats()
	}
	s.Minutes, s.Events = t.history.snapshot(time.Now())
	return s
}
