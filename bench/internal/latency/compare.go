package latency

import (
	"math"
	"slices"
	"time"
)

// Edge is added to both ends of a rotation: the token request runs before it is seen, and commands that waited for the
// last re-AUTH end behind it.
const Edge = 250 * time.Millisecond

// WarmUp is how much of a load's beginning is not looked at.
const WarmUp = 2 * time.Second

// A Rotation is what became of one new token.
type Rotation struct {
	Begin   time.Duration `json:"begin"`    // the new token was there, since the load began
	End     time.Duration `json:"end"`      // the last connection was re-authenticated
	Reauths int           `json:"re_auths"` // that many connections
}

// Split returns the samples of each rotation, and those of the quiet stretches: the i-th ends where the i-th rotation begins, the last
// at end. What was due before from belongs to none.
func Split(rotations []Rotation, samples []Sample, from, end time.Duration) (busy, quiet [][]Sample) {
	busy, quiet = make([][]Sample, len(rotations)), make([][]Sample, len(rotations)+1)
	for _, s := range samples {
		if s.At < from || s.At >= end {
			continue
		}
		i, _ := slices.BinarySearchFunc(rotations, s.At, func(r Rotation, at time.Duration) int {
			if r.End+Edge <= at {
				return -1
			}
			return 1
		})
		if i < len(rotations) && s.At >= rotations[i].Begin-Edge {
			busy[i] = append(busy[i], s)
		} else {
			quiet[i] = append(quiet[i], s)
		}
	}
	return busy, quiet
}

// A Comparison is of a quantile during a rotation with that of the quiet time right before and right behind it, where the machine is
// most likely to be in the same mood.
type Comparison struct {
	During, Beside time.Duration
	Ratio          float64
	// Noise is the ratio of the quiet time before and behind, the larger over the smaller: what comes out where nothing differs.
	Noise float64
}

// Compare compares what is typical of the quantile q. What there are too few commands for is 0.
func Compare(busy, before, behind []Sample, q float64, slice time.Duration) Comparison {
	c := Comparison{During: typical(busy, q, slice), Beside: typical(slices.Concat(before, behind), q, slice)}
	c.Ratio = Ratio(c.During, c.Beside)
	x, y := typical(before, q, slice), typical(behind, q, slice)
	c.Noise = Ratio(max(x, y), min(x, y))
	return c
}

// typical is the median over the slices of time of the quantile in each: a burst of somebody else's work on the machine decides the p99
// of a whole rotation, but not that of most of its slices. One that was cut off, with few commands, does not count.
func typical(samples []Sample, q float64, slice time.Duration) time.Duration {
	took := map[time.Duration][]time.Duration{}
	for _, s := range samples {
		took[s.At/slice] = append(took[s.At/slice], s.Took)
	}
	// It takes three beyond a quantile for it to be more than one hiccup.
	least := int(math.Round(3 / (1 - q)))
	var each []time.Duration
	for _, t := range took {
		if len(t) >= least {
			each = append(each, Quantile(t, q))
		}
	}
	return Quantile(each, 0.5)
}

// Quantile is the q-quantile of the samples by nearest rank, 0 of none. It sorts them.
func Quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	return samples[int(q*float64(len(samples)-1)+0.5)]
}

// Times are how long the samples took.
func Times(samples []Sample) []time.Duration {
	took := make([]time.Duration, len(samples))
	for i, s := range samples {
		took[i] = s.Took
	}
	return took
}

// Ratio is 0 where there is nothing to compare with.
func Ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
