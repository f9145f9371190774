package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/bench/internal/latency"
)

func TestMeasureComparesARotationWithTheTimeBesideIt(t *testing.T) {
	const ms = time.Millisecond
	const edge = latency.Edge
	rotations := []latency.Rotation{{Begin: 10*time.Second + edge, End: 13*time.Second - edge}, {Begin: 20*time.Second + edge, End: 22*time.Second - edge}}
	var samples []latency.Sample
	// a second of commands from at, of which every 25th takes slow and the others nothing to speak of
	second := func(at, slow time.Duration) {
		for i := range 500 {
			took := time.Microsecond
			if i%25 == 0 {
				took = slow
			}
			samples = append(samples, latency.Sample{At: at + time.Duration(i)*2*ms, Took: took})
		}
	}
	second(time.Second, 900*ms) // warming up
	second(8*time.Second, 1*ms)
	second(9*time.Second, 1*ms)
	second(10*time.Second, 4*ms) // the first rotation
	second(11*time.Second, 4*ms)
	second(12*time.Second, 800*ms) // somebody else's burst
	second(13*time.Second, 2*ms)
	second(14*time.Second, 2*ms)
	second(15*time.Second, 2*ms)
	second(20*time.Second, 6*ms) // the second rotation
	second(21*time.Second, 6*ms)
	second(25*time.Second, 3*ms)
	second(30*time.Second, 900*ms) // a third begins
	rows, during, quiet := measure(rotations, samples, 30*time.Second)
	if got, want := len(during), 5*500; got != want {
		t.Errorf("%d commands during rotations, want %d", got, want)
	}
	if got, want := len(quiet), 6*500; got != want {
		t.Errorf("%d commands outside, want %d", got, want)
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	want := []measured{
		{Rotation: rotations[0], During: 1500, Beside: 2500, P99: 800 * ms, BaseP99: 2 * ms, Typical: 4 * ms, BaseTypical: 2 * ms, Ratio: 2, Noise: 2},
		{Rotation: rotations[1], During: 1000, Beside: 2000, P99: 6 * ms, BaseP99: 2 * ms, Typical: 6 * ms, BaseTypical: 2 * ms, Ratio: 3, Noise: 1.5},
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("rotation %d:\n got %+v\nwant %+v", i+1, rows[i], want[i])
		}
	}
	if got, want := middle(rows, func(m measured) float64 { return m.Ratio }), 3.0; got != want {
		t.Errorf("median of 2 and 3 = %v, want the upper", got)
	}
}

func TestLatencyMisses(t *testing.T) {
	good := func() latencyReport {
		return latencyReport{
			latencyRun: latencyRun{Connections: 2, Wanted: 1}, MedianRatio: latencyBar, MedianNoise: latencyBar,
			Rotations: []measured{{Rotation: latency.Rotation{Reauths: 2}, Ratio: 1, Noise: 1}},
		}
	}
	if m := good().misses(); len(m) != 0 {
		t.Fatalf("a run at the bar misses %q", m)
	}
	for want, spoil := range map[string]func(*latencyReport){
		"1 commands failed":       func(r *latencyReport) { r.Failed = 1 },
		"1 connections ended":     func(r *latencyReport) { r.Dropped = 1 },
		"0 of 1 rotations":        func(r *latencyReport) { r.Rotations = nil },
		"1 of 2 connections":      func(r *latencyReport) { r.Rotations[0].Reauths = 1 },
		"too few commands":        func(r *latencyReport) { r.Rotations[0].Ratio = 0 },
		"too noisy":               func(r *latencyReport) { r.MedianNoise = 1.51 },
		"1.51 times that outside": func(r *latencyReport) { r.MedianRatio = 1.51 },
	} {
		r := good()
		spoil(&r)
		if m := r.misses(); len(m) != 1 || !strings.Contains(m[0], want) {
			t.Errorf("misses %q, want one with %q", m, want)
		}
	}
}

func TestTimelineIgnoresWhatCameBeforeTheLoad(t *testing.T) {
	start := time.Unix(1000, 0)
	event := func(after time.Duration, what entraredis.EventType) entraredis.Event {
		return entraredis.Event{Type: what, Time: start.Add(after)}
	}
	stopped := 0
	tl := &timeline{wanted: 1}
	tl.note(event(-2*time.Second, entraredis.EventRefreshed))
	tl.begin(start, func() { stopped++ })
	tl.note(event(-time.Second, entraredis.EventRefreshed)) // delivered late
	tl.note(event(time.Second, entraredis.EventRefreshed))
	tl.note(event(3*time.Second, entraredis.EventReauthenticated))
	got, next := tl.complete()
	if want := (latency.Rotation{Begin: time.Second, End: 3 * time.Second, Reauths: 1}); len(got) != 1 || got[0] != want || next != 0 || stopped != 0 {
		t.Fatalf("got %+v, next %v, stopped %d times, want %+v and still running", got, next, stopped, want)
	}
	tl.note(event(5*time.Second, entraredis.EventRefreshed))
	if got, next := tl.complete(); len(got) != 1 || next != 5*time.Second || stopped != 1 {
		t.Errorf("got %+v, next %v, stopped %d times, want one rotation and the load stopped at 5 s", got, next, stopped)
	}
}

func TestHistogramCountsEachSampleOnce(t *testing.T) {
	var b bytes.Buffer
	histogram(&b, "some", []time.Duration{time.Millisecond, 60 * time.Microsecond, 70 * time.Microsecond, 300 * time.Millisecond})
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if !strings.Contains(lines[0], "some: 4 commands") || !strings.Contains(lines[0], "max 300.00 ms") {
		t.Errorf("first line %q", lines[0])
	}
	if want := "< 0.10 ms 50.0000 % ####"; strings.Join(strings.Fields(lines[1]), " ") != want {
		t.Errorf("first bar %q, want %q", lines[1], want)
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "409.60 ms") || !strings.Contains(last, "25.0000 %") {
		t.Errorf("last bar %q, want the sample of 300 ms in it", last)
	}
}
