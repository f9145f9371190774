package main

import (
	"context"
	"crypto/rand"
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
	Span   time.Duration
	Every  time.Duration
	Tokens int  // issued while the rows were counted
	Long   bool // whether blocking commands waited over the end of a token
	Redis  string
	// LongestGap is the longest from one token to the next.
	LongestGap time.Duration
	Outcomes   []outcome
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
	var opening sync.WaitGroup
	for i, r := range st.settings.rows {
		cast[i] = st.newPlayer(r, stop)
		opening.Go(func() { cast[i].open(ctx) })
	}
	opening.Wait()
	defer func() {
		cancel() // first, or a client might wait in Close for a connection that is still held
		closeAll(cast)
	}()
	for _, p := range cast {
		p.start(ctx)
	}
	for _, p := range cast {
		if err := p.warm(ctx); err != nil {
			return report{}, err
		}
	}
	// One token more, for what clients open behind the scenes.
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
		LongestGap: st.issuer.longestGap(),
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

// closeAll gives the clients time to close, and does without those that cannot: an interrupt from the terminal ends the
// servers, too, and radix's Sentinel then waits in Close for a connection that it tries to get for ever.
func closeAll(cast []*player) {
	var closing sync.WaitGroup
	for _, p := range cast {
		closing.Go(p.close)
	}
	select {
	case <-closedAfter(&closing):
	case <-time.After(arrival):
	}
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
