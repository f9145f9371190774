package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
)

// latencyBar is how many times the p99 outside rotations the p99 during one may be, in the median of the rotations.
const latencyBar = 1.5

// measured is a rotation, and commands while it ran and beside it. The ratio is of the medians of their p99 of each second: a
// burst of somebody else's work on the machine decides the p99 of a whole rotation, but not that of most of its seconds.
type measured struct {
	latency.Rotation
	During      int           `json:"commands_during"`
	Beside      int           `json:"commands_beside"`
	P99         time.Duration `json:"p99"` // of all commands
	BaseP99     time.Duration `json:"p99_beside"`
	Typical     time.Duration `json:"p99_of_a_second"`
	BaseTypical time.Duration `json:"p99_of_a_second_beside"`
	Ratio       float64       `json:"ratio"`
	// Noise is the ratio of the quiet time before and behind, the larger over the smaller: what comes out where nothing differs.
	Noise float64 `json:"noise"`
}

// measure compares each rotation with the quiet time right before and right behind it. It also returns all samples of the rotations
// and of the quiet time, up to end.
func measure(rotations []latency.Rotation, samples []latency.Sample, end time.Duration) (rows []measured, during, quiet []latency.Sample) {
	busy, stretches := latency.Split(rotations, samples, latency.WarmUp, end)
	for i, r := range rotations {
		beside := slices.Concat(stretches[i], stretches[i+1])
		c := latency.Compare(busy[i], stretches[i], stretches[i+1], 0.99, time.Second)
		rows = append(rows, measured{
			Rotation: r, During: len(busy[i]), Beside: len(beside),
			P99: latency.Quantile(latency.Times(busy[i]), 0.99), BaseP99: latency.Quantile(latency.Times(beside), 0.99),
			Typical: c.During, BaseTypical: c.Beside, Ratio: c.Ratio, Noise: c.Noise,
		})
	}
	return rows, slices.Concat(busy...), slices.Concat(stretches...)
}

// middle is the median of what of returns for each row, the upper one of two.
func middle(rows []measured, of func(measured) float64) float64 {
	if len(rows) == 0 {
		return 0
	}
	values := make([]float64, len(rows))
	for i, m := range rows {
		values[i] = of(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// misses says which bars the run missed.
func (r latencyReport) misses() (misses []string) {
	miss := func(format string, args ...any) { misses = append(misses, fmt.Sprintf(format, args...)) }
	if r.Failed > 0 {
		miss("%d commands failed, first: %s", r.Failed, r.FirstError)
	}
	if r.Dropped > 0 {
		miss("%d connections ended with their token", r.Dropped)
	}
	if len(r.Rotations) < r.Wanted {
		miss("%d of %d rotations", len(r.Rotations), r.Wanted)
	}
	for i, m := range r.Rotations {
		if m.Reauths != r.Connections {
			miss("rotation %d: %d of %d connections re-authenticated", i+1, m.Reauths, r.Connections)
		}
		if m.Ratio == 0 || m.Noise == 0 {
			miss("rotation %d: too few commands during it or beside it to compare", i+1)
		}
	}
	if r.MedianNoise > latencyBar {
		miss("the quiet times before and behind a rotation differ by %.2f: the machine is too noisy to tell", r.MedianNoise)
	}
	if r.MedianRatio > latencyBar {
		miss("p99 during a rotation is %.2f times that outside, the bar is %.2f", r.MedianRatio, latencyBar)
	}
	return misses
}
