package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestParseStat(t *testing.T) {
	// The name of a process may look like the fields behind it.
	got, err := parseStat("12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 4 0 100")
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("got %v, %v, want 1.75s", got, err)
	}
	for _, bad := range []string{"", "12 (a) S 1 2 3", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 25 0"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident("Name:\tx\nVmHWM:\t   99 kB\nVmRSS:\t   12 kB\n")
	if err != nil || got != 12<<10 {
		t.Errorf("got %d, %v, want %d", got, err, 12<<10)
	}
	if _, err := parseResident("Name:\tx\n"); err == nil {
		t.Error("no VmRSS: want an error")
	}
}

func TestParseBenchmark(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	got, err := parseBenchmark(head + `"SET","100","1","1","2","3","8","9"` + "\n" + `"GET","400","1","1","8","3","2","9"` + "\n")
	if err != nil || !near(got.rate, 200) || !near(got.p50, 4) || !near(got.p99, 4) {
		t.Errorf("got %+v, %v, want 200, 4, 4", got, err)
	}
	for _, bad := range []string{
		"", head, "\"test\",\"rps\"\n\"SET\",\"1\"\n\"GET\",\"1\"\n",
		head + `"SET","x","1","1","2","3","8","9"` + "\n" + `"GET","400","1","1","8","3","2","9"` + "\n",
		head + `"SET","0","1","1","2","3","8","9"` + "\n" + `"GET","400","1","1","8","3","2","9"` + "\n",
	} {
		if got, err := parseBenchmark(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(slices.Clone(tt.in)); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

// rounds makes a table of rates: each round's direct before, haproxy, shared, direct behind.
func rounds(t *testing.T, name string, all ...[4]float64) *table {
	t.Helper()
	paths := []path{{name: direct}, {name: haproxy}, {name: shared}}
	tab := newTable(name)
	for n, r := range all {
		rates := map[string][]float64{direct: {r[0], r[3]}, haproxy: {r[1]}, shared: {r[2]}}
		var order []string
		err := tab.round(context.Background(), paths, func(_ context.Context, p path) (figures, error) {
			order = append(order, p.name)
			rate := rates[p.name][0]
			rates[p.name] = rates[p.name][1:]
			return figures{rate: rate}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{direct, haproxy, shared, direct}
		if n%2 == 1 {
			want = []string{direct, shared, haproxy, direct}
		}
		if !slices.Equal(order, want) {
			t.Errorf("round %d: order %v, want %v", n, order, want)
		}
	}
	return tab
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	// The machine is ten times slower in the second round.
	tab := rounds(t, "x", [4]float64{100, 50, 200, 100}, [4]float64{10, 6, 19, 10}, [4]float64{50, 20, 180, 200})
	if got := tab.row(haproxy).rate; !near(got, 0.5) {
		t.Errorf("haproxy %v, want 0.5", got)
	}
	if got := tab.row(shared).rate; !near(got, 1.9) {
		t.Errorf("shared %v, want 1.9", got)
	}
}

func TestFailedPath(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out, rounds: 1}
	paths := []path{{name: direct}, {name: haproxy}, {name: dedicated}}
	tab := newTable(load{3, 50, 1}.String())
	calls := map[string]int{}
	for range 2 {
		err := tab.round(context.Background(), paths, func(_ context.Context, p path) (figures, error) {
			calls[p.name]++
			if p.name == dedicated {
				return figures{}, errors.New("connection reset")
			}
			return figures{rate: 1}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.add(tab)
	if calls[dedicated] != 1 || calls[haproxy] != 2 {
		t.Errorf("calls %v: want a path that failed to be left alone", calls)
	}
	if len(r.broken) != 1 {
		t.Errorf("broken %v, want the failure of ours", r.broken)
	}
	if !strings.Contains(out.String(), "connection reset") {
		t.Errorf("printed %q, want the reason", out.String())
	}
	if got := r.verdicts(); len(got) != 0 {
		t.Errorf("verdicts %v about a path that failed", got)
	}
	errDown := errors.New("down")
	if err := tab.round(context.Background(), paths, func(context.Context, path) (figures, error) { return figures{}, errDown }); !errors.Is(err, errDown) {
		t.Errorf("direct failed: got %v", err)
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		rate    float64
		reached bool
	}{{169, false}, {170, true}} {
		r := &report{out: io.Discard, rounds: 1}
		r.add(rounds(t, load{3, 500, 1}.String(), [4]float64{100, 55, tt.rate, 100}))
		all := r.verdicts()
		if len(all) != 1 || all[0].reached != tt.reached {
			t.Errorf("rate %v: got %+v, want one verdict, reached %v", tt.rate, all, tt.reached)
		}
		if r.printBars() == tt.reached {
			t.Errorf("rate %v: printBars does not say the same", tt.rate)
		}
	}
	r := &report{out: io.Discard}
	r.addMemory(memory{name: idle{5000}.String(), order: []string{shared}, each: map[string]float64{shared: 4.1}})
	if all := r.verdicts(); len(all) != 1 || all[0].reached {
		t.Errorf("got %+v, want one that is missed", all)
	}
}

// The bar of CPU is one of commands, in every case that counts them.
func TestCPUBars(t *testing.T) {
	for name, want := range map[string]int{load{3, 50, 1}.String(): 1, load{65536, 1, 16}.String(): 1, "churn, 1 openers": 0} {
		r := &report{out: io.Discard, rounds: 1}
		tab := newTable(name)
		paths := []path{{name: direct}, {name: haproxy}, {name: dedicated}}
		if err := tab.round(t.Context(), paths, func(_ context.Context, p path) (figures, error) {
			return figures{rate: 1, clientCPU: 1, proxyCPU: map[string]float64{haproxy: 2, dedicated: 2.1}[p.name]}, nil
		}); err != nil {
			t.Fatal(err)
		}
		r.add(tab)
		missed := 0
		for _, v := range r.verdicts() {
			if strings.HasPrefix(v.what, "proxy's CPU") && !v.reached {
				missed++
			}
		}
		if missed != want {
			t.Errorf("%s: %d missed, want %d: %+v", name, missed, want, r.verdicts())
		}
	}
}

func TestEveryRateBarHasACase(t *testing.T) {
	names := map[string]bool{}
	for _, l := range loads(false) {
		names[l.String()] = true
	}
	for _, c := range churns(false) {
		names[c.String()] = true
	}
	for _, b := range rateBars {
		if !names[b.name] || !slices.Contains(pathNames, b.path) {
			t.Errorf("nothing measures %q of %s", b.name, b.path)
		}
	}
}

// Clients of many machines are that to whom they connect to.
func TestHosts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, hosts := new(world), map[string]bool{}
	for range 10 {
		c, err := w.dial(t.Context(), path{name: shared, addr: l.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		host, _, _ := net.SplitHostPort(c.LocalAddr().String())
		hosts[host] = true
	}
	if len(hosts) != 10 {
		t.Errorf("got %v, want ten", hosts)
	}
}

func TestPlotIsXML(t *testing.T) {
	tab := rounds(t, `<"a&b">`, [4]float64{1, 0.5, 9, 1})
	d := xml.NewDecoder(strings.NewReader(plot([]*table{tab})))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, f := range []flags{
		{rounds: 5, seconds: 1, cases: "("}, {rounds: 0, seconds: 1}, {rounds: 1},
		{rounds: 1, seconds: 1, paths: []string{"nginx"}},
	} {
		if err := f.check(); err == nil {
			t.Errorf("%+v: want an error", f)
		}
	}
	f := flags{rounds: 5, seconds: 1, paths: []string{shared}}
	if err := f.check(); err != nil || !f.wants(direct) || !f.wants(shared) || f.wants(auto) {
		t.Errorf("%v: want direct and shared", err)
	}
}
