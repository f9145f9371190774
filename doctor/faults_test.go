package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

// fault is one row of the table: how to provoke it, and what the doctor has to
// make of it.
type fault struct {
	name    string
	options emulator.Options
	sockets bool // else in process, on a clock of its own
	// env is set for the credential; PATH is a program for onPath and its script.
	env     map[string]string
	program [2]string
	provoke func(p *patient)

	check  string        // the first check that is not ok
	status doctor.Status // "" = failed
	then   string        // behind a warning, the first check that fails; "" = none
	anchor string        // of its finding
	remedy string        // a part of it
	within time.Duration // on the clock of the bubble; 0 = any
}

// TestFaults provokes each fault through the emulator and prints the table of
// what the doctor says: go test ./doctor -run TestFaults -v
func TestFaults(t *testing.T) {
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FAULT\tFIRST CHECK\tSTATUS\tEXIT\tSEE\tCHANGE")
	remedies := map[string][]string{} // anchors by remedy
	faults := slices.Concat(wayFaults, credentialFaults, issuerFaults, answers(), tokenFaults, authFaults, laterFaults)
	anchors := headings(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			// What this machine offers must not decide a test.
			for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
				t.Setenv(name, "")
			}
			for name, value := range f.env {
				t.Setenv(name, value)
			}
			if f.program[0] != "" {
				onPath(t, f.program[0], f.program[1])
			}
			examine := func(t *testing.T) {
				finding, code := f.examine(t)
				if finding == nil {
					return
				}
				if name := strings.TrimPrefix(finding.Anchor, "docs/errors.md#"); !slices.Contains(anchors, name) {
					t.Errorf("docs/errors.md has no heading %q", name)
				}
				if !slices.Contains(remedies[finding.Remedy], finding.Anchor) {
					remedies[finding.Remedy] = append(remedies[finding.Remedy], finding.Anchor)
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\t%.90s\n", f.name, f.check, finding.Status, code, f.anchor, strings.ReplaceAll(finding.Remedy, "\n", " "))
			}
			if f.sockets {
				examine(t)
			} else {
				synctest.Test(t, examine)
			}
		})
	}
	for remedy, of := range remedies {
		if len(of) > 1 {
			t.Errorf("%s have one remedy: %s", strings.Join(of, " and "), remedy)
		}
	}
	if len(faults) < 30 {
		t.Errorf("%d faults, want at least 30", len(faults))
	}
	_ = tw.Flush()
	fmt.Fprintf(t.Output(), "\n%s\n%d faults\n", table.String(), len(faults))
}

// examine provokes the fault and compares what is found first.
func (f fault) examine(t *testing.T) (*doctor.Finding, int) {
	options := f.options
	options.NoListen = !f.sockets
	p := newPatient(t, emulator.RunT(t, options), f.sockets)
	if f.provoke != nil {
		f.provoke(p)
	}
	begin := time.Now()
	report, text := p.run(context.Background())
	if took := time.Since(begin); f.within > 0 && !f.sockets && took > f.within {
		t.Errorf("said after %v, want within %v", took, f.within)
	}
	asJSON, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	p.searchForSecrets(text, string(asJSON))

	first := report.First()
	if first == nil {
		t.Errorf("all checks are ok\n%s", text)
		return nil, 0
	}
	want := f.status
	if want == "" {
		want = doctor.Failed
	}
	if first.Check != f.check || first.Status != want || len(first.Findings) == 0 {
		t.Errorf("first is %s (%s), want %s (%s)\n%s", first.Check, first.Status, f.check, want, text)
		return nil, 0
	}
	got := first.Findings[0]
	if anchor := "docs/errors.md#" + f.anchor; got.Anchor != anchor {
		t.Errorf("anchor is %s, want %s\n%s", got.Anchor, anchor, text)
	}
	if !strings.Contains(got.Remedy, f.remedy) || f.remedy == "" {
		t.Errorf("remedy is %q, want a part %q\n%s", got.Remedy, f.remedy, text)
	}
	if got.Observed == "" || got.Means == "" {
		t.Errorf("observed %q, means %q", got.Observed, got.Means)
	}
	f.checkDependents(t, report)
	return &got, report.ExitCode()
}

// checkDependents holds that what builds on a failure is skipped with a reason,
// and that nothing else is.
func (f fault) checkDependents(t *testing.T, report *doctor.Report) {
	status := map[string]doctor.Status{}
	for _, c := range report.Checks {
		status[c.Check] = c.Status
	}
	for _, c := range doctor.Checks() {
		i := slices.IndexFunc(report.Checks, func(r doctor.Result) bool { return r.Check == c.Name })
		if i < 0 {
			continue
		}
		blocked := slices.ContainsFunc(c.Needs, func(n string) bool { return status[n] == doctor.Failed || status[n] == doctor.Skipped })
		if got := report.Checks[i]; (got.Status == doctor.Skipped) != blocked || blocked && !strings.HasPrefix(got.Summary, "needs ") {
			t.Errorf("%s is %s (%s), although its needs %v are %v", c.Name, got.Status, got.Summary, c.Needs, status)
		}
	}
	codes := map[string]int{"host": 4, "tcp": 4, "tls": 4, "credential": 3, "token": 3, "auth": 4, "permissions": 5, "topology": 5, "endurance": 5}
	if got, want := report.ExitCode(), codes[report.FirstFailure]; got != want {
		t.Errorf("exit code %d, want %d", got, want)
	}
	want := f.then
	if f.status == "" {
		want = f.check
	}
	if report.FirstFailure != want {
		t.Errorf("first failure is %q, want %q", report.FirstFailure, want)
	}
}

// headings are the anchors that docs/errors.md has.
func headings(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^##+ ([a-z-]+)$`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// Every section of docs/errors.md that only the doctor leads to is one that it
// does lead to.
func TestEveryAnchorIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, name := range []string{"auth.go", "credential.go", "dns.go", "endurance.go", "host.go", "permissions.go", "tcp.go", "tls.go", "token.go", "topology.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, assignment := range regexp.MustCompile(`Anchor[^=:]*(?:=|:)([^\n]*)`).FindAllStringSubmatch(string(source), -1) {
			for _, m := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(assignment[1], -1) {
				used[m[1]] = true
			}
		}
	}
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### ([a-z-]+)$`).FindAllStringSubmatch(string(text), -1) {
		written[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !written[name] {
			t.Errorf("docs/errors.md lacks the section ### %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if !used[name] {
			t.Errorf("docs/errors.md has the section ### %s, which no check leads to", name)
		}
	}
}
