package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report collects the tables of a run.
type report struct {
	out       io.Writer
	rounds    int
	tables    []*table
	memories  []memory
	turnovers []turnover
	broken    []error // paths of ours that failed
}

// memory is KiB per idle client of each path.
type memory struct {
	name  string
	order []string
	each  map[string]float64
}

func (r *report) add(t *table) {
	r.tables = append(r.tables, t)
	for name, err := range t.failed {
		if (path{name: name}).ours() {
			r.broken = append(r.broken, err)
		}
	}
	fmt.Fprintln(r.out, t.text())
}

func (r *report) addMemory(m memory) {
	r.memories = append(r.memories, m)
	fmt.Fprintln(r.out, m.text())
}

func (r *report) addTurnover(t turnover) {
	r.turnovers = append(r.turnovers, t)
	r.broken = append(r.broken, t.broken()...)
	fmt.Fprintln(r.out, t.text())
}

// header is the first line of each table of rounds.
var header = []string{"path", "rate", "p50", "p99", "proxy CPU", "Redis CPU", "client CPU"}

// lines are the table's rows: direct in its own units, the others as ratios to it, CPU in seconds per million.
func (t *table) lines() [][]string {
	d := t.row(direct)
	lines := [][]string{{
		direct, fmt.Sprintf("%.0f/s", d.rate), milliseconds(d.p50), milliseconds(d.p99),
		"-", cpu(d.redisCPU), cpu(d.clientCPU),
	}}
	for _, name := range t.order {
		if err := t.failed[name]; err != nil {
			lines = append(lines, []string{name, "failed: " + firstLine(err), "", "", "", "", ""})
			continue
		}
		f := t.row(name)
		line := []string{name}
		for _, v := range []float64{f.rate, f.p50, f.p99} {
			line = append(line, ratio(v))
		}
		for _, v := range []float64{f.proxyCPU, f.redisCPU, f.clientCPU} {
			line = append(line, cpu(v))
		}
		lines = append(lines, line)
	}
	return lines
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

// cpu is of seconds per million.
func cpu(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func milliseconds(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", v)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (t *table) text() string { return columns(t.name, header, t.lines()) }

func (m memory) lines() (lines [][]string) {
	for _, name := range m.order {
		lines = append(lines, []string{name, fmt.Sprintf("%.1f KiB", m.each[name])})
	}
	return lines
}

func (m memory) text() string { return columns(m.name, []string{"path", "per client"}, m.lines()) }

func columns(name string, head []string, lines [][]string) string {
	var b strings.Builder
	fmt.Fprintln(&b, name)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range append([][]string{head}, lines...) {
		fmt.Fprintln(w, "  "+strings.Join(line, "\t"))
	}
	_ = w.Flush()
	return b.String()
}

// printBars prints what became of the bars of the cases that ran, and whether any was missed.
func (r *report) printBars() (missed bool) {
	var lines [][]string
	for _, v := range r.verdicts() {
		word := "reached"
		if !v.reached {
			word, missed = "missed", true
		}
		lines = append(lines, []string{v.what, v.want, v.got, word})
	}
	if len(lines) > 0 {
		fmt.Fprint(r.out, columns("Bars", []string{"case", "bar", "measured", ""}, lines))
	}
	return missed
}

// write puts the tables into dir: proxy.md to read, proxy.csv to compute with, proxy.svg to look at.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var md, rows strings.Builder
	fmt.Fprintf(&md, "# entraredis proxy and others against direct TLS\n\n")
	fmt.Fprintf(&md, "%s/%s, %d cores shared by load, proxy and Redis, %s. Median of %d rounds (of memory: at most 3). Rate, p50 and p99 are\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), r.rounds)
	fmt.Fprintf(&md, "ratios to direct TLS in the same round, CPU is seconds per million commands (of churn: connections). SET and GET together.\n")
	if len(r.turnovers) > 0 {
		fmt.Fprintf(&md, "Of rotations: ratios to the quiet time beside one, medians of all, in brackets between what they lie (95 %%); noise is the ratio of the quiet time before and behind.\n")
	}
	data := csv.NewWriter(&rows)
	head := append([]string{"case", "path", "rate", "p50", "p99", "proxy_cpu", "redis_cpu", "client_cpu", "kib_per_client"}, turnColumns...)
	errs := []error{data.Write(head)}
	row := func(fields ...string) {
		errs = append(errs, data.Write(append(fields, make([]string, len(head)-len(fields))...)))
	}
	for _, t := range r.tables {
		markdown(&md, t.name, header, t.lines())
		for _, name := range append([]string{direct}, t.order...) {
			if t.has(name) {
				f := t.row(name)
				row(t.name, name, number(f.rate), number(f.p50), number(f.p99), number(f.proxyCPU), number(f.redisCPU), number(f.clientCPU))
			}
		}
	}
	for _, m := range r.memories {
		markdown(&md, m.name, []string{"path", "per client"}, m.lines())
		for _, name := range m.order {
			row(m.name, name, "", "", "", "", "", "", number(m.each[name]))
		}
	}
	for _, t := range r.turnovers {
		markdown(&md, t.name, turnHeader, t.lines())
		for _, name := range t.order {
			f := t.row(name)
			row(append([]string{t.name, name, number(f.rate), "", "", "", "", "", ""}, f.fields()...)...)
		}
	}
	var bars [][]string
	for _, v := range r.verdicts() {
		bars = append(bars, []string{v.what, v.want, v.got, map[bool]string{true: "reached", false: "missed"}[v.reached]})
	}
	markdown(&md, "Bars", []string{"case", "bar", "measured", ""}, bars)
	data.Flush()
	errs = append(errs, data.Error(),
		os.WriteFile(filepath.Join(dir, "proxy.md"), []byte(md.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "proxy.csv"), []byte(rows.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "proxy.svg"), []byte(plot(r.tables)), 0o644))
	return errors.Join(errs...)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

func markdown(b *strings.Builder, name string, head []string, lines [][]string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", name, strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, line := range lines {
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
}
