package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// run measures what f asks for, prints it as it comes, and the bars at the end.
func run(ctx context.Context, out io.Writer, f flags) error {
	r := &report{out: out, rounds: f.rounds}
	if err := everything(ctx, r, f); err != nil {
		return err
	}
	missed := r.printBars()
	if f.out != "" {
		if err := r.write(f.out); err != nil {
			return err
		}
	}
	if len(r.broken) > 0 {
		return errors.Join(r.broken...)
	}
	if f.strict && missed {
		return errMissed
	}
	return nil
}

func everything(ctx context.Context, r *report, f flags) error {
	var wanted []string
	for _, name := range pathNames {
		if f.wants(name) {
			wanted = append(wanted, name)
		}
	}
	var cases []measurement
	for _, l := range loads(f.short) {
		span := f.seconds
		if !f.short {
			span += time.Duration(l.clients) * perClient
		}
		cases = append(cases, throughput{l, span})
	}
	for _, c := range churns(f.short) {
		cases = append(cases, c)
	}
	if cases = selected(cases, f); len(cases) > 0 {
		if err := inRounds(ctx, r, f, wanted, cases); err != nil {
			return err
		}
	}
	for _, s := range idles(f.short) {
		if f.match.MatchString(s.String()) {
			if err := s.run(ctx, r, f.rounds, wanted); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
	}
	for _, c := range rotations(f.short) {
		if f.match.MatchString(c.String()) {
			if err := c.run(ctx, r, f.rounds, wanted); err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
		}
	}
	return nil
}

// A measurement is a case that is compared with direct TLS in rounds.
type measurement interface {
	fmt.Stringer
	// prepare returns how to measure one path, given direct.
	prepare(context.Context, *world, path) (func(context.Context, path) (figures, error), error)
}

func selected(all []measurement, f flags) (some []measurement) {
	for _, m := range all {
		if f.match.MatchString(m.String()) {
			some = append(some, m)
		}
	}
	return some
}

// inRounds opens the paths and measures each case on all of them, round after round, direct before and behind the others.
func inRounds(ctx context.Context, r *report, f flags, names []string, cases []measurement) error {
	w, err := newWorld(ctx, lasting, false)
	if err != nil {
		return err
	}
	defer w.close()
	var paths []path
	defer func() {
		for _, p := range paths {
			p.proxy.stop()
		}
	}()
	for _, name := range names {
		p, err := w.open(ctx, name)
		if err != nil {
			return err
		}
		paths = append(paths, p)
	}
	for _, m := range cases {
		measure, err := m.prepare(ctx, w, paths[0])
		if err != nil {
			return fmt.Errorf("%s, direct: %w", m, err)
		}
		t := newTable(m.String())
		for range f.rounds {
			if err := t.round(ctx, paths, measure); err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
		}
		r.add(t)
	}
	return nil
}

// throughput is a load, and how long direct TLS is to take for each of its two commands.
type throughput struct {
	load
	span time.Duration
}

func (t throughput) prepare(ctx context.Context, w *world, d path) (func(context.Context, path) (figures, error), error) {
	n, err := t.commands(ctx, w, d, t.span)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, p path) (figures, error) { return t.load.run(ctx, w, p, n) }, nil
}
