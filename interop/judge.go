package main

import (
	"fmt"
	"time"

	"github.com/entraredis/entraredis"
)

// outcome is what one row came to.
type outcome struct {
	Client, Version, Topology string
	Protocol                  int

	Err           error // that kept the row from running
	Counts        counts
	Before, After entraredis.Stats // when all rows were warm, and at the end
	Account       account
	Caches        bool // whether the client caches here

	Misses []string // bars that were not reached
}

// reconnects are dials since all pools were full.
func (o outcome) reconnects() int64 { return int64(o.After.Dials) - int64(o.Before.Dials) }

func (o outcome) reauths() int64 { return int64(o.After.Reauths) - int64(o.Before.Reauths) }

// judge notes which bars a row misses.
func judge(o outcome, r report) outcome {
	o.Misses = nil
	miss := func(format string, args ...any) { o.Misses = append(o.Misses, fmt.Sprintf(format, args...)) }
	if o.Err != nil {
		miss("did not run: %v", o.Err)
		return o
	}
	c := o.Counts
	if c.Failed > 0 {
		miss("%d failed, first: %s", c.Failed, c.FirstError)
	}
	if c.Lost+c.Repeated+c.Reordered > 0 {
		miss("%d lost, %d repeated, %d out of order", c.Lost, c.Repeated, c.Reordered)
	}
	// Nothing counts as well done that was not done at all.
	for _, did := range []struct {
		what string
		n    int64
	}{
		{"command", c.Commands}, {"message", c.Messages}, {"served pop", c.Pops}, {"empty pop", c.Timeouts},
		{"stream entry", c.Entries}, {"transaction", c.Transactions}, {"script", c.Scripts}, {"held connection", c.Holds},
	} {
		if did.n == 0 {
			miss("no %s", did.what)
		}
	}
	if r.Long && c.Late == 0 {
		miss("nothing was waited for over the end of a token")
	}
	if o.Caches && c.Hits == 0 {
		miss("no cache hit")
	}
	if n := o.reconnects(); n != 0 {
		miss("%d reconnects", n)
	}
	// Before, a client may give up a pool that it is filling: radix, when the cluster says another address for the seed.
	if n := o.After.DialFailures - o.Before.DialFailures; n != 0 {
		miss("%d dials failed", n)
	}
	if o.After.Open != o.Before.Open {
		miss("%d connections open, %d before", o.After.Open, o.Before.Open)
	}
	judgeTokens(o, r, miss)
	return o
}

// judgeTokens looks at what the connections did about their tokens.
func judgeTokens(o outcome, r report, miss func(string, ...any)) {
	if want := int(r.Span/r.Every) - 1; r.Tokens < max(1, want) {
		miss("%d tokens issued, want %d", r.Tokens, max(1, want))
	}
	if n := o.After.ReauthRefused; n != 0 {
		miss("%d re-AUTHs refused", n)
	}
	if n := o.After.Expired; n != 0 {
		miss("%d connections ended with their token", n)
	}
	a := o.Account
	if int64(a.open) != o.After.Open || a.open == 0 {
		miss("%d connections in the ledger, %d in the Dialer", a.open, o.After.Open)
	}
	if a.untouched > 0 {
		miss("%d of %d connections without a re-AUTH", a.untouched, a.open)
	}
	if a.overruns > 0 {
		miss("%d connections used past the end of their token, by up to %v (longest from one token to the next: %v)",
			a.overruns, a.longest.Round(time.Millisecond), r.LongestGap.Round(time.Millisecond))
	}
}

// passed reports whether all rows reached all bars.
func (r report) passed() bool {
	for _, o := range r.Outcomes {
		if len(o.Misses) > 0 {
			return false
		}
	}
	return len(r.Outcomes) > 0
}
