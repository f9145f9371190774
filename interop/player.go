package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/entraredis/entraredis"
)

// player is one row at work.
type player struct {
	stage  *stage
	row    row
	dialer *entraredis.Dialer
	target target
	work   *work
	driver driver
	err    error // that kept the row from running
	ready  <-chan struct{}
	done   <-chan struct{}
	before entraredis.Stats
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
	p.work = &work{tally: &tally{}, prefix: r.String(), tags: t.tags, pace: st.settings.pace,
		block: st.settings.every / 4, stop: stop}
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
	p.driver, p.work.driver = s, s
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
		all.Go(func() { helds[i], errs[i] = w.driver.Hold(ctx, w.key("held", primary)) })
	}
	all.Wait()
	for _, h := range helds {
		if h != nil {
			h.Close()
		}
	}
	for i := range poolSize {
		all.Go(func() {
			_, _, errs[poolSize+i] = w.driver.Pop(ctx, w.key("nothing", primary), time.Second)
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
	_, o.Caches = p.driver.(cacher)
	return o
}

func (p *player) close() {
	p.work.close()
	if p.driver != nil {
		p.driver.Close()
	}
}
