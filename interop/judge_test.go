package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

func TestJudge(t *testing.T) {
	good := func() (outcome, report) {
		return outcome{
			Counts: counts{
				Commands: 9, Messages: 9, Pops: 9, Timeouts: 9, Entries: 9, Late: 9, Transactions: 9, Scripts: 9, Hits: 9, Holds: 2,
			},
			Before:  entraredis.Stats{Dials: 7, Open: 6, DialFailures: 1},
			After:   entraredis.Stats{Dials: 7, Open: 6, DialFailures: 1, Reauths: 30},
			Account: account{open: 6, reauths: 30, fewest: 5},
			Caches:  true,
		}, report{Span: 12 * time.Second, Every: 2 * time.Second, Tokens: 6, Long: true}
	}
	tests := []struct {
		name  string
		spoil func(*outcome, *report)
		want  string // part of the misses; "" = none
	}{
		{"all is well", func(*outcome, *report) {}, ""},
		{"did not run", func(o *outcome, _ *report) { o.Err = errors.New("no cache") }, "did not run: no cache"},
		{"failed", func(o *outcome, _ *report) { o.Counts.Failed, o.Counts.FirstError = 2, "GET: x" }, "2 failed, first: GET: x"},
		{"lost", func(o *outcome, _ *report) { o.Counts.Lost = 1 }, "1 lost"},
		{"repeated", func(o *outcome, _ *report) { o.Counts.Repeated = 1 }, "1 repeated"},
		{"out of order", func(o *outcome, _ *report) { o.Counts.Reordered = 1 }, "1 out of order"},
		{"no command", func(o *outcome, _ *report) { o.Counts.Commands = 0 }, "no command"},
		{"no message", func(o *outcome, _ *report) { o.Counts.Messages = 0 }, "no message"},
		{"no pop", func(o *outcome, _ *report) { o.Counts.Pops = 0 }, "no served pop"},
		{"no time-out", func(o *outcome, _ *report) { o.Counts.Timeouts = 0 }, "no empty pop"},
		{"no entry", func(o *outcome, _ *report) { o.Counts.Entries = 0 }, "no stream entry"},
		{"no transaction", func(o *outcome, _ *report) { o.Counts.Transactions = 0 }, "no transaction"},
		{"no script", func(o *outcome, _ *report) { o.Counts.Scripts = 0 }, "no script"},
		{"not held", func(o *outcome, _ *report) { o.Counts.Holds = 0 }, "no held connection"},
		{"nothing late", func(o *outcome, _ *report) { o.Counts.Late = 0 }, "nothing was waited for"},
		{"nothing late, nor asked for", func(o *outcome, r *report) { o.Counts.Late, r.Long = 0, false }, ""},
		{"cache idle", func(o *outcome, _ *report) { o.Counts.Hits = 0 }, "no cache hit"},
		{"no cache", func(o *outcome, _ *report) { o.Counts.Hits, o.Caches = 0, false }, ""},
		{"reconnect", func(o *outcome, _ *report) { o.After.Dials++ }, "1 reconnects"},
		{"dial failed", func(o *outcome, _ *report) { o.After.DialFailures++ }, "1 dials failed"},
		{"connection gone", func(o *outcome, _ *report) { o.After.Open--; o.Account.open-- }, "5 connections open, 6 before"},
		{"refused", func(o *outcome, _ *report) { o.After.ReauthRefused = 1 }, "1 re-AUTHs refused"},
		{"expired", func(o *outcome, _ *report) { o.After.Expired = 1 }, "1 connections ended with their token"},
		{"ledger differs", func(o *outcome, _ *report) { o.Account.open = 5 }, "5 connections in the ledger, 6"},
		{"no connection", func(o *outcome, _ *report) { o.Account.open, o.After.Open, o.Before.Open = 0, 0, 0 }, "0 connections in the ledger"},
		{"no re-AUTH", func(o *outcome, _ *report) { o.Account.untouched = 2 }, "2 of 6 connections without"},
		{"past its token", func(o *outcome, _ *report) { o.Account.overruns = 1 }, "1 connections used past"},
		{"too few tokens", func(_ *outcome, r *report) { r.Tokens = 4 }, "4 tokens issued, want 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, r := good()
			tt.spoil(&o, &r)
			r.Outcomes = []outcome{judge(o, r)}
			got := strings.Join(r.Outcomes[0].Misses, "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("misses %q, want %q in it", got, tt.want)
			}
			if passed := r.passed(); passed != (tt.want == "") {
				t.Errorf("passed = %v", passed)
			}
		})
	}
	if (report{}).passed() {
		t.Error("a report without rows passed")
	}
}
