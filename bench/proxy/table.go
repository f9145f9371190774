package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// table is what the rounds of one case gave.
type table struct {
	name   string
	order  []string
	ratios map[string][]figures // to direct in the same round, but for CPU times, which are themselves
	base   []figures            // direct
	failed map[string]error     // the first failure of a path
}

func newTable(name string) *table {
	return &table{name: name, ratios: map[string][]figures{}, failed: map[string]error{}}
}

// round measures direct, the other paths, and direct again: the machine's mood changes within a round too.
func (t *table) round(ctx context.Context, paths []path, measure func(context.Context, path) (figures, error)) error {
	before, err := measure(ctx, paths[0])
	if err != nil {
		return fmt.Errorf("%s: %w", direct, err)
	}
	got := map[string]figures{}
	for _, p := range fromNth(paths[1:], len(t.base)) {
		if t.failed[p.name] != nil {
			continue
		}
		f, err := measure(ctx, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			t.failed[p.name] = fmt.Errorf("%s, %s: %w", t.name, p.name, err)
			continue
		}
		got[p.name] = f
	}
	behind, err := measure(ctx, paths[0])
	if err != nil {
		return fmt.Errorf("%s: %w", direct, err)
	}
	base := mean(before, behind)
	t.base = append(t.base, base)
	if t.order == nil {
		for _, p := range paths[1:] {
			t.order = append(t.order, p.name)
		}
	}
	for name, f := range got {
		f.rate, f.p50, f.p99 = over(f.rate, base.rate), over(f.p50, base.p50), over(f.p99, base.p99)
		t.ratios[name] = append(t.ratios[name], f)
	}
	return nil
}

// fromNth returns the paths beginning with the n-th: what runs behind direct TLS, or before it, measures otherwise than what does not.
func fromNth(paths []path, n int) []path {
	if len(paths) == 0 {
		return nil
	}
	n %= len(paths)
	return slices.Concat(paths[n:], paths[:n])
}

// mean is the geometric mean, as befits what ratios are made of; that of CPU times is the arithmetic one, as they may be 0.
func mean(a, b figures) figures {
	return figures{
		rate: math.Sqrt(a.rate * b.rate), p50: math.Sqrt(a.p50 * b.p50), p99: math.Sqrt(a.p99 * b.p99),
		proxyCPU: (a.proxyCPU + b.proxyCPU) / 2, redisCPU: (a.redisCPU + b.redisCPU) / 2, clientCPU: (a.clientCPU + b.clientCPU) / 2,
	}
}

// over is 0 where there is nothing to compare with.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// row is the medians of a path, and of direct itself in its own units.
func (t *table) row(name string) figures {
	all := t.ratios[name]
	if name == direct {
		all = t.base
	}
	return figures{
		rate: medianOf(all, func(f figures) float64 { return f.rate }),
		p50:  medianOf(all, func(f figures) float64 { return f.p50 }), p99: medianOf(all, func(f figures) float64 { return f.p99 }),
		proxyCPU:  medianOf(all, func(f figures) float64 { return f.proxyCPU }),
		redisCPU:  medianOf(all, func(f figures) float64 { return f.redisCPU }),
		clientCPU: medianOf(all, func(f figures) float64 { return f.clientCPU }),
	}
}

func (t *table) has(name string) bool {
	return name == direct && len(t.base) > 0 || len(t.ratios[name]) > 0 && t.failed[name] == nil
}

func medianOf(all []figures, of func(figures) float64) float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	return median(values)
}

// median is the middle one, or the mean of the two in the middle; of nothing it is 0. It sorts values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}
