package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A load is what redis-benchmark does: SET, then GET, values of size bytes, by so many clients with pipelines of that depth.
type load struct{ size, clients, pipeline int }

func (l load) String() string {
	return fmt.Sprintf("throughput %s, %d clients, pipeline %d", sizeName(l.size), l.clients, l.pipeline)
}

func sizeName(n int) string {
	if n >= 1024 {
		return fmt.Sprintf("%dKiB", n/1024)
	}
	return fmt.Sprintf("%dB", n)
}

// loads are all cases. Values of 64 KiB in pipelines of 64 would be 4 MiB at a time, which no one sends.
func loads(short bool) (all []load) {
	if short {
		return []load{{3, 50, 1}, {3, 50, 16}, {65536, 50, 1}}
	}
	for _, size := range []int{3, 1024, 65536} {
		for _, clients := range []int{1, 50, 500} {
			for _, pipeline := range []int{1, 16, 64} {
				if size < 65536 || pipeline == 1 || pipeline == 16 && clients < 500 {
					all = append(all, load{size, clients, pipeline})
				}
			}
		}
	}
	return all
}

// perClient is added to the time of a case for each of its clients: redis-benchmark counts their handshakes, a millisecond or two each
// on direct TLS, and would in a short run measure little else.
const perClient = 20 * time.Millisecond

// figures are what one run on one path gave.
type figures struct {
	rate     float64 // commands, or connections, a second
	p50, p99 float64 // milliseconds
	// CPU seconds per million commands
	proxyCPU, redisCPU, clientCPU float64
}

// run drives n SETs and n GETs over the path.
func (l load) run(ctx context.Context, w *world, p path, n int) (f figures, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	benchmark, err := tool("redis-benchmark", "redis-tools")
	if err != nil {
		return f, err
	}
	args := []string{"-h", "127.0.0.1", "-p", port(p.addr), "-t", "set,get", "--csv", "-r", "1000",
		"-d", strconv.Itoa(l.size), "-c", strconv.Itoa(l.clients), "-P", strconv.Itoa(l.pipeline), "-n", strconv.Itoa(n)}
	if p.name == direct {
		args = append(args, "--tls", "--cacert", w.certFile, "--sni", hostName)
	}
	before, err := usage(w.redis, p.proxy)
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, benchmark, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("redis-benchmark: %w: %s", err, tail(complaints.String()))
	}
	after, err := usage(w.redis, p.proxy)
	if err != nil {
		return f, err
	}
	if f, err = parseBenchmark(string(out)); err != nil {
		return f, fmt.Errorf("redis-benchmark: %w: %s", err, tail(complaints.String()))
	}
	million := 2 * float64(n) / 1e6
	f.redisCPU = (after[0] - before[0]).Seconds() / million
	f.proxyCPU = (after[1] - before[1]).Seconds() / million
	f.clientCPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / million
	return f, nil
}

func usage(redis, proxy *process) (both [2]time.Duration, err error) {
	if both[0], err = redis.cpu(); err != nil {
		return both, err
	}
	both[1], err = proxy.cpu()
	return both, err
}

// parseBenchmark makes one row of the two that redis-benchmark --csv prints for SET and GET: their geometric means.
func parseBenchmark(out string) (f figures, err error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		return f, err
	}
	if len(rows) != 3 {
		return f, fmt.Errorf("%d lines instead of a header, SET and GET", len(rows))
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for name, to := range map[string]*float64{"rps": &f.rate, "p50_latency_ms": &f.p50, "p99_latency_ms": &f.p99} {
		i, ok := column[name]
		if !ok {
			return f, fmt.Errorf("no column %q", name)
		}
		product := 1.0
		for _, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				return f, err
			}
			product *= v
		}
		*to = math.Sqrt(product)
	}
	if f.rate <= 0 {
		return f, fmt.Errorf("a rate of %g", f.rate)
	}
	return f, nil
}

// commands is how many commands direct TLS runs in that time, found by a small run.
func (l load) commands(ctx context.Context, w *world, d path, span time.Duration) (int, error) {
	few := max(l.clients, 50) * l.pipeline * 4
	if l.size > 4096 {
		few = max(l.clients, 50) * l.pipeline
	}
	// Twice: in a run that is much shorter the handshakes make it look slow.
	n := few
	for range 2 {
		f, err := l.run(ctx, w, d, n)
		if err != nil {
			return 0, err
		}
		n = max(few, int(f.rate*span.Seconds()))
	}
	return n, nil
}
