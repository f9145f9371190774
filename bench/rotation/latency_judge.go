package main

import (
	"fmt"
	"slices"
	"time"
)

// latencyBar is how many times the p99 outside rotations the p99 during one may be, in the median of the rotations.
const latencyBar = 1.5

// edge is added to both ends of a rotation: the token request runs before its event, and commands that waited for the
// last re-AUTH end behind its event.
const edge = 250 * time.Millisecond

// A rotation is what the Source's events tell of one new token.
type rotation struct {
	Begin   time.Duration `json:"begin"`    // the new token was there, since the load began
	End     time.Duration `json:"end"`      // the last connection was re-authenticated
	Reauths int           `json:"re_auths"` // that many connections
}

// measured is a rotation, and commands while it ran and beside it.
type measured struct {
	rotation
	During  int           `json:"commands_during"`
	Beside  int           `json:"commands_beside"`
	P99     time.Duration `json:"p99"`
	BaseP99 time.Duration `json:"p99_beside"`
	Ratio   float64       `json:"ratio"`
}

// measure compares each rotation with the quiet time right before and right behind it, where the machine is most likely to
// be in the same mood. It also returns all samples of the rotations and of the quiet time: those from the first stretch to
// the last, end.
func measure(rotations []rotation, samples []sample, end time.Duration) (rows []measured, during, quiet []time.Duration) {
	stretches := make([][]time.Duration, len(rotations)+1) // the i-th ends where the i-th rotation begins
	busy := make([][]time.Duration, len(rotations))
	for _, s := range samples {
		if s.at < warmUp || s.at >= end {
			continue
		}
		i, _ := slices.BinarySearchFunc(rotations, s.at, func(r rotation, at time.Duration) int {
			if r.End+edge <= at {
				return -1
			}
			return 1
		})
		if i < len(rotations) && s.at >= rotations[i].Begin-edge {
			busy[i] = append(busy[i], s.took)
		} else {
			stretches[i] = append(stretches[i], s.took)
		}
	}
	for i, r := range rotations {
		beside := slices.Concat(stretches[i], stretches[i+1])
		m := measured{rotation: r, During: len(busy[i]), Beside: len(beside), P99: quantile(busy[i], 0.99), BaseP99: quantile(beside, 0.99)}
		if m.BaseP99 > 0 {
			m.Ratio = float64(m.P99) / float64(m.BaseP99)
		}
		rows = append(rows, m)
	}
	return rows, slices.Concat(busy...), slices.Concat(stretches...)
}

// medianRatio is the middle of the rows' ratios, the upper one of two.
func medianRatio(rows []measured) float64 {
	ratios := []float64{}
	for _, m := range rows {
		ratios = append(ratios, m.Ratio)
	}
	if len(ratios) == 0 {
		return 0
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
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
		// Of fewer the 99th percentile is one hiccup of the machine.
		if m.During < 500 || m.Beside < 500 {
			miss("rotation %d: %d commands during it and %d beside it are too few to compare", i+1, m.During, m.Beside)
		}
	}
	if r.MedianRatio > latencyBar {
		miss("p99 during a rotation is %.2f times that outside, the bar is %.2f", r.MedianRatio, latencyBar)
	}
	return misses
}
