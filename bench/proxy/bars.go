package main

import (
	"fmt"
	"strings"
)

// verdict is a bar and what was measured.
type verdict struct {
	what, want, got string
	reached         bool
}

// rateBar is the least rate of a path in a case, as a ratio to direct TLS; 0 is that of HAProxy in the same run.
type rateBar struct {
	name, path string
	least      float64
}

// rateBars hold on two cores. They are what prototypes of each design reached there, and the peers measured beside them.
var rateBars = []rateBar{
	{load{3, 500, 1}.String(), shared, 1.7},
	{load{3, 50, 1}.String(), shared, 1.15},
	{load{3, 50, 16}.String(), shared, 1.0},
	{load{3, 50, 64}.String(), shared, 0.9},
	{load{3, 500, 1}.String(), dedicated, 0.6},
	{load{3, 50, 1}.String(), dedicated, 0},
	{load{3, 50, 16}.String(), dedicated, 0.75},
	{load{3, 50, 64}.String(), dedicated, 0.9},
	{load{65536, 50, 1}.String(), auto, 0.75},
	{load{65536, 50, 16}.String(), auto, 0.9},
	{churn{openers: 1}.String(), shared, 4},
	{churn{openers: 16}.String(), shared, 7},
	{churn{openers: 1, pause: 1}.String(), dedicated, 2},
}

// memoryBars are the most KiB per idle client.
var memoryBars = map[string]float64{shared: 4, dedicated: 27}

// redisShare is the most of Redis's CPU per command that shared upstreams may take, of that of direct TLS at 500 clients.
const redisShare = 0.2

// turnBar is how many times the latency beside a rotation that during one may be; 0 is any.
type turnBar struct{ p99, p999 float64 }

var turnBars = map[string]turnBar{
	"re-AUTH 50/s, 1000 upstreams":   {1.3, 2},
	"re-AUTH 17/s, 1000 upstreams":   {1.3, 2},
	"rotation each 5s, 1000 clients": {p99: 1.5},
}

// verdicts are those of the bars whose case and path ran.
func (r *report) verdicts() (all []verdict) {
	byName := map[string]*table{}
	for _, t := range r.tables {
		byName[t.name] = t
	}
	for _, b := range rateBars {
		t := byName[b.name]
		if t == nil || !t.has(b.path) || b.least == 0 && !t.has(haproxy) {
			continue
		}
		least, got := b.least, t.row(b.path).rate
		want := fmt.Sprintf("at least %.2f", least)
		if least == 0 {
			least = t.row(haproxy).rate
			want = fmt.Sprintf("at least HAProxy's %.2f", least)
		}
		all = append(all, verdict{b.name + ", " + b.path, want, fmt.Sprintf("%.2f", got), got >= least})
	}
	if t := byName[load{3, 500, 1}.String()]; t != nil && t.has(shared) && t.row(direct).redisCPU > 0 {
		got := t.row(shared).redisCPU / t.row(direct).redisCPU
		all = append(all, verdict{"Redis's CPU, " + t.name + ", shared", fmt.Sprintf("at most %.2f", redisShare), fmt.Sprintf("%.2f", got), got <= redisShare})
	}
	for _, t := range r.tables {
		// The bar is of commands. Of churn, connections are counted, and ours sends the AUTH that is the client's there.
		if !t.has(dedicated) || !t.has(haproxy) || !strings.HasPrefix(t.name, "throughput") {
			continue
		}
		got, most := t.row(dedicated).proxyCPU, t.row(haproxy).proxyCPU
		all = append(all, verdict{"proxy's CPU, " + t.name + ", dedicated", "below HAProxy's " + cpu(most), cpu(got), got < most})
	}
	for _, m := range r.memories {
		if m.name != (idle{5000}).String() {
			continue
		}
		for _, name := range []string{shared, dedicated} {
			if got, ok := m.each[name]; ok {
				most := memoryBars[name]
				all = append(all, verdict{m.name + ", " + name, fmt.Sprintf("at most %.0f KiB", most), fmt.Sprintf("%.1f KiB", got), got <= most})
			}
		}
	}
	for _, t := range r.turnovers {
		if b, ok := turnBars[t.name]; ok {
			all = append(all, t.verdicts(b)...)
		}
	}
	return all
}
