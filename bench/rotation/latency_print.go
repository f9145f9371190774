package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
)

// printLatency writes the rotations, both histograms and the verdict.
func printLatency(w io.Writer, r latencyReport) {
	fmt.Fprintf(w, "%s\n\n%d connections, %d commands/s, tokens of %v\n", r.Machine, r.Connections, r.Rate, r.Lifetime)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "rotation\tat\tre-AUTHs\tper second\tcommands\tp99\tbeside\tp99/s\tbeside\tratio\tnoise")
	for i, m := range r.Rotations {
		took := m.End - m.Begin
		fmt.Fprintf(tw, "%d\t%.1f-%.1f s\t%d\t%.0f\t%d\t%s\t%s\t%s\t%s\t%.2f\t%.2f\n", i+1, m.Begin.Seconds(), m.End.Seconds(),
			m.Reauths, float64(m.Reauths)/max(took.Seconds(), 1e-3), m.During+m.Beside,
			fine(m.P99), fine(m.BaseP99), fine(m.Typical), fine(m.BaseTypical), m.Ratio, m.Noise)
	}
	_ = tw.Flush()
	fmt.Fprintln(w)
	histogram(w, "outside rotations", latency.Times(r.quiet))
	histogram(w, "during rotations", latency.Times(r.during))
	fmt.Fprintf(w, "median ratio of the p99 of a second: %.2f (bar %.2f); of quiet time to quiet time: %.2f\n", r.MedianRatio, latencyBar, r.MedianNoise)
	for _, m := range r.Misses {
		fmt.Fprintln(w, "MISSED ", m)
	}
	if len(r.Misses) == 0 {
		fmt.Fprintln(w, "every bar was reached")
	}
}

// histogram draws how many of the samples lie below each doubling of a latency. Bars are logarithmic, a character for each
// doubling of the count: it is the rare ones that matter.
func histogram(w io.Writer, title string, samples []time.Duration) {
	if len(samples) == 0 {
		return
	}
	fmt.Fprintf(w, "%s: %d commands, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", title, len(samples),
		fine(latency.Quantile(samples, 0.5)), fine(latency.Quantile(samples, 0.9)), fine(latency.Quantile(samples, 0.99)), fine(latency.Quantile(samples, 0.999)), fine(latency.Quantile(samples, 1)))
	bound := 50 * time.Microsecond
	for i := 0; i < len(samples); bound *= 2 { // Quantile has sorted them
		from := i
		for i < len(samples) && samples[i] < bound {
			i++
		}
		if i == 0 {
			continue
		}
		n := i - from
		bar := 0
		for c := n; c > 0; c /= 2 {
			bar += 2
		}
		fmt.Fprintf(w, "  < %9s  %8.4f %%  %s\n", fine(bound), 100*float64(n)/float64(len(samples)), strings.Repeat("#", bar))
	}
	fmt.Fprintln(w)
}

func fine(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
