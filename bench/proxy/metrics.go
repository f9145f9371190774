package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/bench/internal/latency"
)

// reading is what the proxy's metrics said at an instant of the load.
type reading struct {
	at                        time.Duration
	refreshes, reauths, ended int
}

// counted is where a metric belongs.
func (r *reading) counted(metric string) *int {
	switch {
	case strings.HasPrefix(metric, "entraredis_token_refreshes_total{") && strings.Contains(metric, `result="new"`):
		return &r.refreshes
	case strings.HasPrefix(metric, "entraredis_reauths_total{") && strings.Contains(metric, `result="accepted"`):
		return &r.reauths
	}
	switch name, _, _ := strings.Cut(metric, "{"); name {
	case "entraredis_connections_expired_total", "entraredis_shared_upstreams_lost_total", "entraredis_upstreams_restored_total":
		return &r.ended
	}
	return nil
}

func parseMetrics(text io.Reader) (r reading, err error) {
	found := map[*int]bool{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		metric, value, _ := cutLast(lines.Text(), " ")
		to := r.counted(metric)
		if to == nil {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return r, err
		}
		*to += int(v)
		found[to] = true
	}
	if err := lines.Err(); err != nil {
		return r, err
	}
	if len(found) < 3 {
		return r, fmt.Errorf("the proxy's metrics lack some: %d of 3 found", len(found))
	}
	return r, nil
}

// readEvery is shorter than what is added to a rotation's ends anyway.
const readEvery = 200 * time.Millisecond

// metricsWatch reads a proxy's metrics, again and again.
type metricsWatch struct {
	url      string
	started  time.Time
	readings []reading
	err      error
	cancel   chan struct{}
	done     chan struct{}
}

// watchMetrics calls enough when so many rotations are complete and another begins.
func watchMetrics(addr string, started time.Time, rotations int, enough func()) *metricsWatch {
	m := &metricsWatch{url: "http://" + addr + "/metrics", started: started, cancel: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(readEvery)
		defer tick.Stop()
		for m.read() {
			if m.readings[len(m.readings)-1].refreshes-m.readings[0].refreshes > rotations {
				enough()
			}
			select {
			case <-tick.C:
			case <-m.cancel:
				m.read()
				return
			}
		}
		enough() // nothing can come of the run
	}()
	return m
}

func (m *metricsWatch) read() bool {
	client := http.Client{Timeout: 10 * time.Second}
	at := time.Since(m.started)
	res, err := client.Get(m.url)
	if err != nil {
		m.err = err
		return false
	}
	defer res.Body.Close()
	r, err := parseMetrics(res.Body)
	r.at = at
	m.readings, m.err = append(m.readings, r), err
	return err == nil
}

// end returns the readings, the last of them made now.
func (m *metricsWatch) end() ([]reading, error) {
	close(m.cancel)
	<-m.done
	return m.readings, m.err
}

// windows makes rotations of readings. Each begins with the last reading that does not know of the new token, and ends with the first that
// knows of its last re-AUTH. The last one may still go on and is left out. What was due before from is of the load's beginning or of a
// rotation that was under way then, what is due behind end of the one left out.
func windows(readings []reading) (all []latency.Rotation, from, end time.Duration) {
	from = latency.WarmUp
	for i := 1; i < len(readings); i++ {
		last, r := readings[i-1], readings[i]
		if r.refreshes > last.refreshes {
			all = append(all, latency.Rotation{Begin: last.at, End: r.at})
		}
		switch n := len(all); {
		case r.reauths == last.reauths:
		case n > 0:
			all[n-1].End = r.at
			all[n-1].Reauths += r.reauths - last.reauths
		default:
			from = max(from, r.at+latency.Edge)
		}
	}
	if len(all) == 0 {
		return nil, from, readings[len(readings)-1].at
	}
	n := len(all) - 1
	return all[:n], from, all[n].Begin - latency.Edge
}
