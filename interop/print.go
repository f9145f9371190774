package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// print writes the table, and below it what the rows miss.
func (r report) print(w io.Writer) error {
	fmt.Fprintf(w, "redis-server %s, TLS only; a new token about every %v for %v: %d\n\n", r.Redis, r.Every, r.Span, r.Tokens)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "client\ttopology\tRESP\tconnections\tcommands\tmessages\tpops\tempty\tentries\tlate\ttransactions (raced)\tcache hits"+
		"\tre-AUTHs\tfewest\tdeferred\tfailed\tlost\trepeated\tout of order\treconnects")
	for _, o := range r.Outcomes {
		c := o.Counts
		fmt.Fprintf(t, "%s %s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d (%d)\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%d\n",
			o.Client, o.Version, o.Topology, o.Protocol, o.Account.open, c.Commands, c.Messages, c.Pops, c.Timeouts, c.Entries, lateness(r, c),
			c.Transactions, c.Raced, hits(o), o.reauths(), o.Account.fewest, deferred(o.After.Deferred),
			c.Failed, c.Lost, c.Repeated, c.Reordered, o.reconnects())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, o := range r.Outcomes {
		for _, m := range o.Misses {
			fmt.Fprintf(w, "MISSED %s/%s/RESP%d: %s\n", o.Client, o.Topology, o.Protocol, m)
		}
	}
	return nil
}

func hits(o outcome) string {
	if !o.Caches {
		return "-"
	}
	return fmt.Sprint(o.Counts.Hits)
}

func lateness(r report, c counts) string {
	if !r.Long {
		return "-"
	}
	return fmt.Sprint(c.Late)
}

func deferred(by map[string]uint64) string {
	if len(by) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(by))
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, by[reason]))
	}
	return strings.Join(parts, ", ")
}
