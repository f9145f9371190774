package main

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
)

func TestWindows(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name     string
		readings []reading
		all      []latency.Rotation
		from     time.Duration
		end      time.Duration
	}{
		{"two, and one that goes on", []reading{
			{at: 0, refreshes: 1, reauths: 7}, {at: 5 * s, refreshes: 1, reauths: 7},
			{at: 6 * s, refreshes: 2, reauths: 7}, {at: 7 * s, refreshes: 2, reauths: 9}, {at: 8 * s, refreshes: 2, reauths: 10}, {at: 9 * s, refreshes: 2, reauths: 10},
			{at: 12 * s, refreshes: 3, reauths: 12}, {at: 13 * s, refreshes: 3, reauths: 13}, {at: 14 * s, refreshes: 3, reauths: 13},
			{at: 15 * s, refreshes: 4, reauths: 14},
		}, []latency.Rotation{{Begin: 5 * s, End: 8 * s, Reauths: 3}, {Begin: 9 * s, End: 13 * s, Reauths: 3}}, latency.WarmUp, 14*s - latency.Edge},
		{"one was under way", []reading{
			{at: 0, refreshes: 3, reauths: 4}, {at: 3 * s, refreshes: 3, reauths: 6}, {at: 4 * s, refreshes: 3, reauths: 6},
			{at: 5 * s, refreshes: 4, reauths: 7}, {at: 6 * s, refreshes: 5, reauths: 7},
		}, []latency.Rotation{{Begin: 4 * s, End: 5 * s, Reauths: 1}}, 3*s + latency.Edge, 5*s - latency.Edge},
		{"none is complete", []reading{{at: 0}, {at: 4 * s, refreshes: 1}, {at: 9 * s, refreshes: 1, reauths: 3}}, nil, latency.WarmUp, -latency.Edge},
		{"none at all", []reading{{at: 0}, {at: 4 * s}}, nil, latency.WarmUp, 4 * s},
	} {
		all, from, end := windows(tt.readings)
		if !slices.Equal(all, tt.all) || from != tt.from || end != tt.end {
			t.Errorf("%s: got %+v from %v to %v, want %+v from %v to %v", tt.name, all, from, end, tt.all, tt.from, tt.end)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	const text = `# HELP entraredis_reauths_total re-AUTHs
entraredis_reauths_total{result="accepted",target="a b"} 1.001e+03
entraredis_reauths_total{result="refused",target="a b"} 9
entraredis_token_refreshes_total{result="new",target="a b"} 4
entraredis_token_refreshes_total{result="failed",target="a b"} 5
entraredis_connections_expired_total{target="a b"} 1
entraredis_shared_upstreams_lost_total{target="a b"} 2
entraredis_upstreams_restored_total{target="a b"} 3
`
	got, err := parseMetrics(strings.NewReader(text))
	if want := (reading{refreshes: 4, reauths: 1001, ended: 6}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", strings.ReplaceAll(text, "reauths_total", "re_auths_total"), strings.Replace(text, "1.001e+03", "many", 1)} {
		if got, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

// turnedOver is three rotations of dedicated upstreams, two and one in a round.
func turnedOver(p99, p999 latency.Comparison) turnover {
	one := turned{latency.Rotation{Begin: time.Second, End: 11 * time.Second, Reauths: 1000}, p99, p999}
	unknown := turned{one.Rotation, latency.Comparison{}, latency.Comparison{}}
	return turnover{rotation: rotations(false)[0], order: []string{dedicated}, turns: map[string][]turn{
		dedicated: {{rate: 90, rows: []turned{one, unknown}}, {rate: 100, rows: []turned{one}}},
	}}
}

func TestTurnVerdicts(t *testing.T) {
	at := func(ratio, noise float64) latency.Comparison {
		return latency.Comparison{During: 2 * time.Millisecond, Beside: time.Millisecond, Ratio: ratio, Noise: noise}
	}
	for _, tt := range []struct {
		name        string
		p99, p999   latency.Comparison
		spoil       func(*turn)
		missed      string // of the bars: the quantity
		says        string
		broken      bool
		wantReached int
	}{
		{name: "at the bars", p99: at(1.3, 1.3), p999: at(2, 2), wantReached: 4},
		{name: "p99", p99: at(1.31, 1), p999: at(2, 1), missed: "p99, ", says: "1.31", wantReached: 3},
		{name: "p99.9", p99: at(1.3, 1), p999: at(2.01, 1), missed: "p99.9, ", says: "2.01", wantReached: 3},
		{name: "noise", p99: at(1, 1.31), p999: at(1, 1), missed: "p99, ", says: "1.00, noise 1.31: tells nothing", wantReached: 3},
		{name: "nothing known", p99: at(1, 1), missed: "p99.9, ", says: "tells nothing", wantReached: 3},
		{name: "too few re-AUTHs", p99: at(1, 1), p999: at(1, 1), spoil: func(o *turn) { o.rows[0].Reauths = 999 }, says: "at least 999", wantReached: 3},
		{name: "failed", p99: at(1, 1), p999: at(1, 1), spoil: func(o *turn) { o.failed, o.first = 2, io.ErrUnexpectedEOF }, says: "2, 0", broken: true, wantReached: 3},
		{name: "closed", p99: at(1, 1), p999: at(1, 1), spoil: func(o *turn) { o.closed = 3 }, says: "0, 3", broken: true, wantReached: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			over := turnedOver(tt.p99, tt.p999)
			if tt.spoil != nil {
				tt.spoil(&over.turns[dedicated][1])
			}
			r := &report{out: io.Discard}
			r.addTurnover(over)
			all := r.verdicts()
			reached := 0
			for _, v := range all {
				if v.reached {
					reached++
				} else if !strings.HasPrefix(v.what, tt.missed) || !strings.Contains(v.got, tt.says) {
					t.Errorf("missed %+v, want %q that says %q", v, tt.missed, tt.says)
				}
			}
			if len(all) != 4 || reached != tt.wantReached {
				t.Errorf("%d of %d bars reached, want %d of 4: %+v", reached, len(all), tt.wantReached, all)
			}
			if (len(r.broken) > 0) != tt.broken {
				t.Errorf("broken: %v, want %v", r.broken, tt.broken)
			}
		})
	}
}

func TestBrokenTurnSaysWhy(t *testing.T) {
	over := turnedOver(latency.Comparison{}, latency.Comparison{})
	over.turns[dedicated][0].failed, over.turns[dedicated][0].first = 1, io.ErrUnexpectedEOF
	if errs := over.broken(); len(errs) != 1 || !errors.Is(errs[0], io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want one with the first error", errs)
	}
}

func TestTurnRow(t *testing.T) {
	over := turnedOver(latency.Comparison{During: 3 * time.Millisecond, Beside: 2 * time.Millisecond, Ratio: 1.5, Noise: 1.1}, latency.Comparison{})
	got := over.row(dedicated)
	if want := (comparison{during: 3, beside: 2, ratio: 1.5, noise: 1.1}); got.p99 != want || got.p999 != (comparison{}) {
		t.Errorf("got %+v and %+v, want %+v and nothing", got.p99, got.p999, want)
	}
	if got.rotations != 3 || got.fewest != 1000 || got.most != 1000 || got.pace != 100 || got.rate != 95 {
		t.Errorf("got %+v", got)
	}
}

// The ranks are those of tables of confidence intervals of the median.
func TestAround(t *testing.T) {
	for _, tt := range []struct {
		n           int
		least, most float64
	}{{0, 0, 0}, {5, 0, 0}, {6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {12, 3, 10}, {20, 6, 15}, {50, 18, 33}} {
		values := make([]float64, tt.n)
		for i := range values {
			values[i] = float64(tt.n - i)
		}
		if least, most := around(values); least != tt.least || most != tt.most {
			t.Errorf("of %d: got %v to %v, want %v to %v", tt.n, least, most, tt.least, tt.most)
		}
	}
}

func TestManyRotationsTellInNoise(t *testing.T) {
	for _, tt := range []struct {
		ratios  []float64
		reached bool
		says    string
	}{
		{[]float64{0.7, 0.8, 0.9, 1.0, 1.1, 1.3}, true, "0.95 (0.70 to 1.30)"},
		{[]float64{0.7, 0.8, 0.9, 1.0, 1.1, 1.4}, false, "0.95 (0.70 to 1.40), noise 1.90: tells nothing"},
		{[]float64{1.2, 1.4, 1.5, 1.5, 1.6, 1.7}, false, "1.50 (1.20 to 1.70), noise 1.90: tells nothing"},
		{[]float64{1.4, 1.4, 1.5, 1.5, 1.6, 1.7}, false, "1.50 (1.40 to 1.70)"},
		{[]float64{0.7, 0.8, 0.9, 1.0, 1.1}, false, "0.90, noise 1.90: tells nothing"},
	} {
		over := turnedOver(latency.Comparison{}, latency.Comparison{})
		one := turn{}
		for _, ratio := range tt.ratios {
			one.rows = append(one.rows, turned{latency.Rotation{Reauths: 1000}, latency.Comparison{Ratio: ratio, Noise: 1.9}, latency.Comparison{}})
		}
		over.turns[dedicated] = []turn{one}
		v := over.verdicts(turnBar{p99: 1.3})[2]
		if v.reached != tt.reached || v.got != tt.says {
			t.Errorf("%v: got %+v, want %v, %q", tt.ratios, v, tt.reached, tt.says)
		}
	}
}

func TestEveryTurnBarHasACase(t *testing.T) {
	names := map[string]bool{}
	for _, short := range []bool{false, true} {
		for _, c := range rotations(short) {
			names[c.name] = true
			// A connection waits for up to half of what is left with its re-AUTH, and forgets it when the next token is there.
			if spread := (c.life - c.every) / 2; c.every >= c.life/2 || spread >= c.every {
				t.Errorf("%s: tokens of %v are not all in use before the next comes after %v, or the source does not ask then", c, c.life, c.every)
			}
			for _, p := range c.paths {
				if !(path{name: p}).ours() {
					t.Errorf("%s: %s has no tokens", c, p)
				}
			}
		}
	}
	for name := range turnBars {
		if !names[name] {
			t.Errorf("nothing measures %q", name)
		}
	}
}

func TestFilesHoldAllKinds(t *testing.T) {
	r := &report{out: io.Discard, rounds: 1}
	r.add(rounds(t, "some load", [4]float64{100, 55, 170, 100}))
	r.addMemory(memory{name: "some memory", order: []string{shared}, each: map[string]float64{shared: 4}})
	r.addTurnover(turnedOver(latency.Comparison{Ratio: 1.25, Noise: 1.1}, latency.Comparison{}))
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "proxy.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll() // wants as many fields in each row
	if err != nil || len(rows) != 1+3+1+1 {
		t.Fatalf("%d rows, %v: %v", len(rows), err, rows)
	}
	if got := rows[5][slices.Index(rows[0], "p99_ratio")]; got != "1.25" {
		t.Errorf("p99_ratio is %q in %v", got, rows[5])
	}
	md, err := os.ReadFile(filepath.Join(dir, "proxy.md"))
	if err != nil || !strings.Contains(string(md), "re-AUTH 50/s, 1000 upstreams") {
		t.Errorf("%v, no rotation in %s", err, md)
	}
}
