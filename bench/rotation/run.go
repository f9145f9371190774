package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// report is what --json prints.
type report struct {
	Machine machine   `json:"machine"`
	Table   string    `json:"table"`
	Rows    []outcome `json:"rows"`
}

// runTable runs every case for every contestant and prints the rows in the order of the cases.
func runTable(ctx context.Context, w io.Writer, f flags, table string, cases []spec, print func(io.Writer, []outcome)) error {
	specs, err := selectSpecs(f, table, cases)
	if err != nil {
		return err
	}
	parallel := f.parallel
	if parallel <= 0 {
		parallel = defaultParallel(table, f.short)
	}
	rows := runAll(ctx, specs, parallel, func(done int, o outcome) {
		fmt.Fprintf(os.Stderr, "%3d/%d  %-12s %-28s %s\n", done, len(specs), o.Spec.Contestant, o.Spec.Case, o.Status)
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	if f.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(report{Machine: thisMachine(), Table: table, Rows: rows}); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(w, thisMachine())
		print(w, rows)
		printMisses(w, rows)
	}
	if slices.ContainsFunc(rows, func(o outcome) bool { return len(o.Misses) > 0 }) {
		return errMissed
	}
	return nil
}

// defaultParallel is 3 for the pool table, so that the contestants of one case run beside each other and nothing else:
// its latencies compare only under the same contention. The issuer table counts, and its clients mostly pause.
func defaultParallel(table string, short bool) int {
	switch {
	case table == "issuer":
		return 16
	case short:
		return 6
	}
	return 3
}

// selectSpecs gives each case to each contestant, less what --contestant and --case leave out.
func selectSpecs(f flags, table string, cases []spec) ([]spec, error) {
	names := f.contestants
	if len(names) == 0 {
		names = defaultContestants(table, f.short)
	}
	var specs []spec
	for _, c := range cases {
		wanted := len(f.cases) == 0
		for _, word := range f.cases {
			wanted = wanted || strings.Contains(c.Case, word)
		}
		if !wanted {
			continue
		}
		for _, name := range names {
			if _, err := contestantNamed(name); err != nil {
				return nil, err
			}
			c.Contestant, c.Table = name, table
			specs = append(specs, c)
		}
	}
	if len(specs) == 0 {
		return nil, errors.New("no case has such a name")
	}
	return specs, nil
}

// runAll runs the specs, at most parallel at a time, and calls done after each.
func runAll(ctx context.Context, specs []spec, parallel int, done func(int, outcome)) []outcome {
	rows := make([]outcome, len(specs))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	var mu sync.Mutex
	finished := 0
	for i, s := range specs {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			rows[i] = runSpec(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			finished++
			done(finished, rows[i])
		})
	}
	wg.Wait()
	return rows
}

// runSpec runs one spec in a child process of this very program.
func runSpec(ctx context.Context, s spec) outcome {
	self, err := os.Executable()
	if err != nil {
		return outcome{Spec: s, Status: statusError, Detail: err.Error()}
	}
	arg, err := json.Marshal(s)
	if err != nil {
		return outcome{Spec: s, Status: statusError, Detail: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "child", string(arg))
	var stdout bytes.Buffer
	stderr := &head{limit: 64 << 10}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	err = cmd.Run()
	return judge(classify(s, stdout.Bytes(), stderr.String(), err, ctx.Err() != nil))
}

// classify turns the way a child ended into a row.
func classify(s spec, stdout []byte, stderr string, err error, timedOut bool) outcome {
	o := outcome{Spec: s}
	c, _ := contestantNamed(s.Contestant)
	o.Ours = c.ours
	switch {
	case timedOut:
		o.Status, o.Detail = statusWedged, fmt.Sprintf("no result within %v", s.Limit)
	case strings.Contains(stderr, "panic: ") && err != nil:
		_, after, _ := strings.Cut(stderr, "panic: ")
		line, _, _ := strings.Cut(after, "\n")
		line, _, _ = strings.Cut(line, " [recovered")
		o.Status, o.Detail = statusPanic, line
	case err != nil:
		o.Status, o.Detail = statusError, lastLine(stderr, err)
	default:
		var r result
		if err := json.Unmarshal(stdout, &r); err != nil {
			o.Status, o.Detail = statusError, "no result on stdout"
			break
		}
		o.Status, o.Result = statusDone, &r
	}
	return o
}

func lastLine(stderr string, err error) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

// head keeps the first bytes written to it: a panic's first lines say what it was, the goroutines after it do not.
type head struct {
	buf   bytes.Buffer
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string { return h.buf.String() }

// runChild runs one spec in this process and prints its result.
func runChild(ctx context.Context, w io.Writer, arg string) error {
	var s spec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	silenceClients()
	var r result
	var err error
	switch s.Table {
	case "issuer":
		r, err = runIssuer(ctx, s)
	case "pool":
		r, err = runPool(ctx, s)
	default:
		err = fmt.Errorf("no table %q", s.Table)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return err
	}
	// A wedged client never lets go of its goroutines, and the result is already told.
	os.Exit(0)
	return nil
}

// machine names what the numbers were measured on.
type machine struct {
	OS       string            `json:"os"`
	Arch     string            `json:"arch"`
	Cores    int               `json:"cores"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
}

func thisMachine() machine {
	return machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), Versions: clientVersions()}
}

func (m machine) String() string {
	names := make([]string, 0, len(m.Versions))
	for name, version := range m.Versions {
		names = append(names, name+" "+version)
	}
	slices.Sort(names)
	return fmt.Sprintf("%s/%s, %d cores, %s; %s", m.OS, m.Arch, m.Cores, m.Go, strings.Join(names, ", "))
}
