package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A table is a title and columns, each of which makes a cell from a row that ended with a result.
type table struct {
	title   string
	columns []column
}

type column struct {
	name string
	cell func(spec, *result) string
}

func count(name string, get func(*result) int64) column {
	return column{name, func(_ spec, r *result) string { return fmt.Sprint(get(r)) }}
}

var (
	colOK      = count("ok", func(r *result) int64 { return r.OK })
	colFailed  = count("failed", func(r *result) int64 { return r.Failed })
	colDropped = count("dropped", func(r *result) int64 { return int64(r.Dropped) })
	colAuths   = count("AUTHs", func(r *result) int64 { return int64(r.Auths) })
	colDials   = count("extra dials", func(r *result) int64 { return int64(r.Dials) })
)

func printIssuer(w io.Writer, rows []outcome) {
	t := table{"Issuer fails at refresh time (SET, 2 s contexts)", []column{
		{"outage at", func(_ spec, r *result) string { return fmt.Sprintf("%.1f-%.1f s", r.FaultFrom, r.FaultTo) }},
		colOK, colFailed,
		count("blocked", func(r *result) int64 { return r.Blocked }),
		{"/s before", func(_ spec, r *result) string { return fmt.Sprintf("%.0f", r.RateBefore) }},
		{"/s after", func(_ spec, r *result) string { return fmt.Sprintf("%.0f", r.RateAfter) }},
		{"recovered", func(_ spec, r *result) string {
			if r.recovered() {
				return "yes"
			}
			return "NO"
		}},
		colDropped,
		count("token requests", func(r *result) int64 { return r.Requests }),
	}}
	t.print(w, rows)
}

func printPool(w io.Writer, rows []outcome) {
	groups := []struct {
		cases []string
		table table
	}{
		{[]string{"pool 30", "pool 100", "universal"}, table{"Short commands over several token lifetimes", []column{
			colOK, colFailed,
			{"p99.9", func(_ spec, r *result) string { return ms(r.P999) }},
			{"max", func(_ spec, r *result) string { return ms(r.Max) }},
			count("rotations", func(r *result) int64 { return int64(r.Rotations) }),
			{"extra dials/rotation", func(_ spec, r *result) string {
				return fmt.Sprintf("%.1f", float64(r.Dials)/float64(max(1, r.Rotations)))
			}},
			colAuths, colDropped,
		}}},
		{[]string{"held conn", "watch"}, table{"Held connections (PING) and transactions longer than a token", []column{
			colOK, colFailed, colDials, colAuths, colDropped,
		}}},
		{[]string{"pubsub"}, table{"Subscribers under RESP3", []column{
			count("received", func(r *result) int64 { return r.OK }),
			count("lost", func(r *result) int64 { return r.Lost }),
			count("repeated", func(r *result) int64 { return r.Repeated }),
			colDials, colAuths, colDropped,
		}}},
		{[]string{"idle"}, table{"Idle pool, 1 s after the first token's expiry", []column{
			count("warm", func(r *result) int64 { return int64(r.Warm) }),
			count("alive", func(r *result) int64 { return int64(r.Alive) }),
			count("re-AUTHed", func(r *result) int64 { return int64(r.Reauthed) }),
			colFailed, colDials,
		}}},
		{[]string{"memory"}, table{"Live heap over Subscribe/Close cycles", []column{
			{"cycles", func(s spec, _ *result) string { return fmt.Sprint(s.Cycles) }},
			{"before", func(_ spec, r *result) string { return mb(r.HeapFrom) }},
			{"after", func(_ spec, r *result) string { return mb(r.HeapTo) }},
			colFailed,
		}}},
		{[]string{"empty conn", "empty watch", "failover"}, table{"Conn, Watch and NewFailoverClient with an empty pool", []column{
			{"panic", func(spec, *result) string { return "no" }},
			colOK, colFailed,
		}}},
	}
	for _, g := range groups {
		var some []outcome
		for _, c := range g.cases {
			for _, o := range rows {
				if o.Spec.Case == c {
					some = append(some, o)
				}
			}
		}
		g.table.print(w, some)
	}
}

// print writes nothing for no rows. A row without a result says how it ended.
func (t table) print(w io.Writer, rows []outcome) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	names := []string{"case", "contestant"}
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	fmt.Fprintln(tw, strings.Join(append(names, "first error"), "\t"))
	for _, o := range rows {
		cells := []string{o.Spec.Case, o.Spec.Contestant}
		note := o.Detail
		if o.Result == nil {
			cells = append(cells, strings.ToUpper(o.Status))
			for range len(t.columns) - 1 {
				cells = append(cells, "-")
			}
		} else {
			for _, c := range t.columns {
				cells = append(cells, c.cell(o.Spec, o.Result))
			}
			note = o.Result.FirstError
		}
		fmt.Fprintln(tw, strings.Join(append(cells, clip(note)), "\t"))
	}
	_ = tw.Flush()
}

// printMisses lists which bars rows of ours missed.
func printMisses(w io.Writer, rows []outcome) {
	fmt.Fprintln(w)
	missed := 0
	for _, o := range rows {
		for _, m := range o.Misses {
			missed++
			fmt.Fprintf(w, "MISSED  %s, %s: %s\n", o.Spec.Contestant, o.Spec.Case, m)
		}
	}
	if missed == 0 {
		fmt.Fprintln(w, "every row of entraredis reached its bars")
	}
}

// clip keeps the table readable: errors that wrap an issuer's answer run over pages.
func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "..."
	}
	return s
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

func mb(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
