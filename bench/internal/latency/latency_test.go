package latency

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	samples := make([]time.Duration, 1000)
	for i := range samples {
		samples[len(samples)-1-i] = time.Duration(i + 1)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 501, 0.999: 999, 1: 1000} {
		if got := Quantile(samples, q); got != want {
			t.Errorf("Quantile(%v) = %d, want %d", q, got, want)
		}
	}
	if got := Quantile(nil, 0.999); got != 0 {
		t.Errorf("quantile of nothing = %v, want 0", got)
	}
}

func TestCompareKnowsNothingOfTooFew(t *testing.T) {
	stretch := func(second, n int, took time.Duration) (all []Sample) {
		for i := range n {
			all = append(all, Sample{time.Duration(second)*time.Second + time.Duration(i), took})
		}
		return all
	}
	busy, before, behind := stretch(2, 3000, 6), stretch(1, 3000, 2), stretch(3, 2999, 3)
	if got, want := Compare(busy, before, behind, 0.99, time.Second), (Comparison{6, 3, 2, 1.5}); got != want {
		t.Errorf("p99: got %+v, want %+v", got, want)
	}
	// The second behind has too few for this quantile: it is not compared with, and there is no noise to know.
	if got, want := Compare(busy, before, behind, 0.999, time.Second), (Comparison{6, 2, 3, 0}); got != want {
		t.Errorf("p99.9: got %+v, want %+v", got, want)
	}
}

func TestLoadSaysThatAConnectionBroke(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, b := net.Pipe()
	b.Close()
	l := &Load{Conns: []net.Conn{a}, Every: time.Microsecond, Started: time.Now()}
	go func() {
		for l.failed.Load() < 2 { // the one that broke it, and one behind it
			runtime.Gosched()
		}
		cancel()
	}()
	l.Run(ctx)
	if len(l.samples) != 0 || l.firstError == nil {
		t.Errorf("%d samples and error %v over a closed connection", len(l.samples), l.firstError)
	}
}
