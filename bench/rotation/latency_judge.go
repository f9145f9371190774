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

// measured is a rotation, and commands while it ran and beside it. The ratio is of the medians of their p99 of each second: a
// burst of somebody else's work on the machine decides the p99 of a whole rotation, but not that of most of its seconds.
type measured struct {
	rotation
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

// measure compares each rotation with the quiet time right before and right behind it, where the machine is most likely to
// be in the same mood. It also returns all samples of the rotations and of the quiet time, up to end.
func measure(rotations []rotation, samples []sample, end time.Duration) (rows []measured, during, quiet []sample) {
	stretches := make([][]sample, len(rotations)+1) // the i-th ends where the i-th rotation begins
	busy := make([][]sample, len(rotations))
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
			busy[i] = append(busy[i], s)
		} else {
			stretches[i] = append(stretches[i], s)
		}
	}
	for i, r := range rotations {
		beside := slices.Concat(stretches[i], stretches[i+1])
		m := measured{
			rotation: r, During: len(busy[i]), Beside: len(beside),
			P99: quantile(latencies(busy[i]), 0.99), BaseP99: quantile(latencies(beside), 0.99),
			Typical: typical(busy[i]), BaseTypical: typical(beside),
		}
		m.Ratio = ratio(m.Typical, m.BaseTypical)
		before, behind := typical(stretches[i]), typical(stretches[i+1])
		m.Noise = ratio(max(before, behind), min(before, behind))
		rows = append(rows, m)
	}
	return rows, slices.Concat(busy...), slices.Concat(stretches...)
}

// typical is the median over the seconds of the p99 of each. A second that was cut off, with few commands, does not count.
func typical(samples []sample) time.Duration {
	seconds := map[int][]time.Duration{}
	for _, s := range samples {
		i := int(s.at / time.Second)
		seconds[i] = append(seconds[i], s.took)
	}
	var p99s []time.Duration
	for _, took := range seconds {
		if len(took) >= leastPerSecond {
			p99s = append(p99s, quantile(took, 0.99))
		}
	}
	return quantile(p99s, 0.5)
}

// leastPerSecond is how many commands it takes for a p99 to be more than one hiccup.
const leastPerSecond = 300

func latencies(samples []sample) []time.Duration {
	took := make([]time.Duration, len(samples))
	for i, s := range samples {
		took[i] = s.took
	}
	return took
}

// ratio is 0 where there is nothing to compare with.
func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
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
