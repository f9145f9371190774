package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
)

// settings of a run.
type settings struct {
	span  time.Duration // how long the rows run once all are warm
	every time.Duration // from one token to the next
	pace  time.Duration // between two rounds of a scenario
	long  bool          // have blocking commands wait over the end of a token
	rows  []row
	log   *slog.Logger
	// disturb, if set, is called with the servers once all rows are counted from: by the test that a row can fail.
	disturb func(context.Context, []*server) error
}

// stage is what all rows share: servers, issuer, Source and ledger.
type stage struct {
	settings   settings
	launcher   *launcher
	topologies map[string]topology
	issuer     *issuer
	source     *entraredis.Source
	ledger     *ledger
}

// report is what a run came to.
type report struct {
	Span     time.Duration
	Every    time.Duration
	Tokens   int  // issued while the rows were counted
	Long     bool // whether blocking commands waited over the end of a token
	Redis    string
	Outcomes []outcome
}

// run starts the servers, runs the rows all at once, and ends everything.
func run(ctx context.Context, s settings) (report, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(dir)
	l, err := newLauncher(dir, rand.Text())
	if err != nil {
		return report{}, err
	}
	defer l.close()
	// Nothing here may wait for ever, whatever a client does.
	ctx, cancel := context.WithTimeout(ctx, s.span+10*s.every+2*time.Minute)
	defer cancel()
	st := &stage{settings: s, launcher: l, ledger: newLedger(), topologies: map[string]topology{}}
	for _, r := range s.rows {
		if _, started := st.topologies[r.topology]; started {
			continue
		}
		t, err := l.topology(ctx, r.topology)
		if err != nil {
			return report{}, err
		}
		st.topologies[r.topology] = t
	}
	st.issuer, err = newIssuer(l.servers, s.every)
	if err != nil {
		return report{}, err
	}
	st.source, err = entraredis.New(st.issuer, &entraredis.Options{OnEvent: st.ledger.event, Logger: s.log})
	if err != nil {
		return report{}, err
	}
	defer st.source.Close()
	return st.play(ctx)
}

// play opens all rows, has them warm before the first is counted, and judges them.
func (st *stage) play(ctx context.Context) (report, error) {
	cast := make([]*player, len(st.settings.rows))
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var opening sync.WaitGroup
	for i, r := range st.settings.rows {
		cast[i] = st.newPlayer(r, stop)
		opening.Go(func() { cast[i].open(ctx) })
	}
	opening.Wait()
	defer func() {
		for _, p := range cast {
			p.close()
		}
	}()
	for _, p := range cast {
		p.start(ctx)
	}
	for _, p := range cast {
		if err := p.warm(ctx); err != nil {
			return report{}, err
		}
	}
	// One rotation more, for what clients open behind the scenes.
	if err := sleep(ctx, st.settings.every); err != nil {
		return report{}, err
	}
	tokens := st.issuer.count()
	for _, p := range cast {
		p.before = p.dialer.Stats()
	}
	if st.settings.disturb != nil {
		if err := st.settings.disturb(ctx, st.launcher.servers); err != nil {
			return report{}, err
		}
	}
	if err := sleep(ctx, st.settings.span); err != nil {
		return report{}, err
	}

	rep := report{
		Span: st.settings.span, Every: st.settings.every, Long: st.settings.long,
		Tokens: st.issuer.count() - tokens, Redis: st.redisVersion(ctx),
	}
	close(stop)
	// A row may wait for its end marks for a while, a wedged one not for ever.
	grace := time.AfterFunc(2*arrival, cancel)
	defer grace.Stop()
	for _, p := range cast {
		rep.Outcomes = append(rep.Outcomes, judge(p.finish(), rep))
	}
	return rep, st.issuer.check(context.WithoutCancel(ctx), st.launcher.cert)
}

func (st *stage) redisVersion(ctx context.Context) string {
	info := st.launcher.servers[0].admin.InfoMap(ctx, "server")
	return info.Item("Server", "redis_version")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// player is one row at work.
type player struct {
	stage   *stage
	row     row
	dialer  *entraredis.Dialer
	target  target
	work    *work
	session session
	err     error // that kept the row from running
	ready   <-chan struct{}
	done    <-chan struct{}
	before  entraredis.Stats
}

func (st *stage) newPlayer(r row, stop <-chan struct{}) *player {
	t := st.topologies[r.topology]
	p := &player{stage: st, row: r}
	p.dialer = &entraredis.Dialer{
		Source:    st.source,
		TLSConfig: &tls.Config{RootCAs: st.launcher.cert.roots},
		NetDial:   st.ledger.dialer(r.String(), func() time.Time { return st.source.Status().ExpiresOn }),
	}
	p.target = target{topology: r.topology, protocol: r.protocol, dialer: p.dialer}
	// Both ways to the name in the certificate, which no node's own address holds: the Dialer is told, or it remembers
	// the name the client began with.
	if r.protocol == 2 {
		p.dialer.ServerName = hostName
		p.target.seed = t.seed.addr
	} else {
		p.target.seed = fmt.Sprintf("%s:%d", hostName, t.seed.port)
	}
	p.work = &work{tally: &tally{}, prefix: r.String(), tags: t.tags, pace: st.settings.pace, stop: stop}
	if st.settings.long {
		p.work.long = st.issuer.life() + st.settings.every/2
	}
	return p
}

// open opens the client, and fills its pools: those of a cluster at each primary.
func (p *player) open(ctx context.Context) {
	s, err := p.row.client.open(ctx, p.target)
	if err != nil {
		p.err = fmt.Errorf("open: %w", err)
		return
	}
	p.session, p.work.session = s, s
	for i := range p.work.tags {
		if err := fill(ctx, p.work, i); err != nil {
			p.err = fmt.Errorf("fill the pools: %w", err)
			return
		}
	}
}

// fill opens a pool's connections by using all of them at once, held and blocked: some clients keep a pool for each.
func fill(ctx context.Context, w *work, primary int) error {
	helds := make([]held, poolSize)
	errs := make([]error, 2*poolSize)
	var all sync.WaitGroup
	for i := range helds {
		all.Go(func() { helds[i], errs[i] = w.session.Hold(ctx, w.key("held", primary)) })
	}
	all.Wait()
	for _, h := range helds {
		if h != nil {
			h.Close()
		}
	}
	for i := range poolSize {
		all.Go(func() {
			_, _, errs[poolSize+i] = w.session.Pop(ctx, w.key("nothing", primary), time.Second)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (p *player) start(ctx context.Context) {
	if p.err == nil {
		p.ready, p.done = p.work.start(ctx)
	}
}

// warm waits until all scenarios are under way.
func (p *player) warm(ctx context.Context) error {
	if p.err != nil {
		return nil
	}
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s is not under way: %w", p.row, ctx.Err())
	}
}

// finish waits for the scenarios to end and takes stock before the client closes anything.
func (p *player) finish() outcome {
	o := outcome{
		Client: p.row.client.name, Version: version(p.row.client.module),
		Topology: p.row.topology, Protocol: p.row.protocol, Err: p.err,
	}
	if p.err != nil {
		return o
	}
	select {
	case <-p.done:
	case <-time.After(3 * arrival):
		// A command that does not heed its context ends with its client.
		o.Err = errors.New("some scenario does not end")
		return o
	}
	o.Before, o.After = p.before, p.dialer.Stats()
	o.Account = p.stage.ledger.account(p.row.String(), time.Now())
	o.Counts = p.work.tally.counts()
	_, o.Caches = p.session.(cacher)
	return o
}

func (p *player) close() {
	p.work.close()
	if p.session != nil {
		p.session.Close()
	}
}
