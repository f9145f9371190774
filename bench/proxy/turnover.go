package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/entraredis/entraredis/bench/internal/latency"
)

// turnover is what the rounds of a rotation gave.
type turnover struct {
	rotation
	order []string
	turns map[string][]turn
}

// turnRow is a path's medians over all its rotations, and sums over its rounds.
type turnRow struct {
	rate                    float64
	rotations, fewest, most int     // re-AUTHs in a rotation
	pace                    float64 // of them, a second
	p99, p999               comparison
	failed                  int64
	closed                  int
}

// comparison is the medians of a latency.Comparison, in milliseconds and as ratios. 0 is not known.
type comparison struct {
	during, beside, ratio, noise float64
	least, most                  float64 // what ratio lies between
}

// tooNoisy says that the machine alone makes a difference as large as the bar, and that there
// are too few rotations to tell nevertheless.
func (c comparison) tooNoisy(bar float64) bool {
	sure := c.least > bar || c.most > 0 && c.most <= bar
	return !sure && (c.noise == 0 || c.noise > bar)
}

func (c comparison) String() string {
	if c.most == 0 {
		return ratio(c.ratio)
	}
	return fmt.Sprintf("%s (%s to %s)", ratio(c.ratio), ratio(c.least), ratio(c.most))
}

func (t turnover) row(name string) (r turnRow) {
	var rates, paces []float64
	var p99, p999 []latency.Comparison
	for _, one := range t.turns[name] {
		rates = append(rates, one.rate)
		r.failed, r.closed = r.failed+one.failed, r.closed+one.closed
		for _, row := range one.rows {
			if r.rotations == 0 {
				r.fewest = row.Reauths
			}
			r.rotations++
			r.fewest, r.most = min(r.fewest, row.Reauths), max(r.most, row.Reauths)
			paces = append(paces, float64(row.Reauths)/(row.End-row.Begin).Seconds())
			p99, p999 = append(p99, row.p99), append(p999, row.p999)
		}
	}
	r.rate, r.pace = median(rates), median(paces)
	r.p99, r.p999 = medians(p99), medians(p999)
	return r
}

func medians(all []latency.Comparison) comparison {
	known := func(of func(latency.Comparison) float64) (values []float64) {
		for _, c := range all {
			if v := of(c); v > 0 {
				values = append(values, v)
			}
		}
		return values
	}
	ratios := known(func(c latency.Comparison) float64 { return c.Ratio })
	m := comparison{
		during: median(known(func(c latency.Comparison) float64 { return 1e3 * c.During.Seconds() })),
		beside: median(known(func(c latency.Comparison) float64 { return 1e3 * c.Beside.Seconds() })),
		ratio:  median(ratios),
		noise:  median(known(func(c latency.Comparison) float64 { return c.Noise })),
	}
	m.least, m.most = around(ratios)
	return m
}

// around returns the closest of values between which the median of all there could be lies
// with a probability of 95 % at least, and zeros if there are too few. It sorts values.
//
// Each is below that median as likely as above: the probability that fewer than k are on
// one side of it is that of as many heads of as many coins.
func around(values []float64) (least, most float64) {
	slices.Sort(values)
	n := len(values)
	heads := math.Pow(0.5, float64(n)) // the probability of k of them
	outside := heads
	for k := 0; outside <= 0.025 && 2*k+1 < n; k++ {
		least, most = values[k], values[n-1-k]
		heads *= float64(n-k) / float64(k+1)
		outside += heads
	}
	return least, most
}

// broken is an error for each round in which something failed or was closed: no rotation may do that, however busy the machine is.
func (t turnover) broken() (errs []error) {
	for _, name := range t.order {
		for _, one := range t.turns[name] {
			if one.failed > 0 || one.closed > 0 {
				err := fmt.Errorf("%s, %s: %d failed, %d connections were closed", t.name, name, one.failed, one.closed)
				if one.first != nil {
					err = fmt.Errorf("%w: %w", err, one.first)
				}
				errs = append(errs, err)
			}
		}
	}
	return errs
}

var turnHeader = []string{"path", "rate", "rotations", "re-AUTHs", "per second", "p99 beside", "ratio", "noise", "p99.9 beside", "ratio", "noise", "failed", "closed"}

func (t turnover) lines() (lines [][]string) {
	for _, name := range t.order {
		r := t.row(name)
		reauths := strconv.Itoa(r.fewest)
		if r.most > r.fewest {
			reauths += " to " + strconv.Itoa(r.most)
		}
		lines = append(lines, []string{
			name, fmt.Sprintf("%.0f/s", r.rate), strconv.Itoa(r.rotations), reauths, fmt.Sprintf("%.1f", r.pace),
			milliseconds(r.p99.beside), r.p99.String(), ratio(r.p99.noise), milliseconds(r.p999.beside), r.p999.String(), ratio(r.p999.noise),
			strconv.FormatInt(r.failed, 10), strconv.Itoa(r.closed),
		})
	}
	return lines
}

func (t turnover) text() string { return columns(t.name, turnHeader, t.lines()) }

// turnColumns are the turnover's in the CSV.
var turnColumns = []string{"rotations", "re_auths_fewest", "re_auths_a_second", "p99_beside_ms", "p99_during_ms", "p99_ratio", "p99_least", "p99_most", "p99_noise",
	"p999_beside_ms", "p999_during_ms", "p999_ratio", "p999_least", "p999_most", "p999_noise", "failed", "closed"}

func (r turnRow) fields() (fields []string) {
	for _, v := range []float64{float64(r.rotations), float64(r.fewest), r.pace, r.p99.beside, r.p99.during, r.p99.ratio, r.p99.least, r.p99.most, r.p99.noise,
		r.p999.beside, r.p999.during, r.p999.ratio, r.p999.least, r.p999.most, r.p999.noise, float64(r.failed), float64(r.closed)} {
		fields = append(fields, number(v))
	}
	return fields
}

// verdicts are those of a bar.
func (t turnover) verdicts(b turnBar) (all []verdict) {
	for _, name := range t.order {
		r, what := t.row(name), t.name+", "+name
		all = append(all, verdict{what: what, want: "0 failed, 0 closed", got: fmt.Sprintf("%d, %d", r.failed, r.closed), reached: r.failed == 0 && r.closed == 0})
		if name == dedicated {
			all = append(all, verdict{what: what, want: fmt.Sprintf("%d re-AUTHs each", t.clients), got: fmt.Sprintf("at least %d", r.fewest), reached: r.fewest >= t.clients})
		}
		for _, q := range []struct {
			name string
			most float64
			got  comparison
		}{{"p99", b.p99, r.p99}, {"p99.9", b.p999, r.p999}} {
			if q.most == 0 {
				continue
			}
			v := verdict{what: q.name + ", " + what, want: fmt.Sprintf("at most %.2f", q.most), got: q.got.String(), reached: q.got.ratio > 0 && q.got.ratio <= q.most}
			if q.got.tooNoisy(q.most) {
				v.reached, v.got = false, v.got+", noise "+ratio(q.got.noise)+": tells nothing"
			}
			all = append(all, v)
		}
	}
	return all
}
