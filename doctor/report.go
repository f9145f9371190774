package doctor

import (
	"fmt"
	"time"

	"github.com/entraredis/entraredis"
)

// Status is how a check ended.
type Status string

// The statuses. A warning keeps no check behind it from running.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Report is what an examination found. It never holds a secret, and with
// [Options.Redact] no name, address or ID either.
type Report struct {
	Target  string    `json:"target"` // host:port
	Started time.Time `json:"started"`
	Status  Status    `json:"status"` // the worst of all checks, skipped ones apart

	// FirstFailure is the name of the first check that failed; "" = none did.
	FirstFailure string   `json:"first_failure,omitempty"`
	Checks       []Result `json:"checks"`
}

// Result is what one check found.
type Result struct {
	Check    string        `json:"check"`
	Proves   string        `json:"proves"`
	Status   Status        `json:"status"`
	Summary  string        `json:"summary"` // one line: what was seen, or why the check was skipped
	Facts    []Fact        `json:"facts,omitempty"`
	Findings []Finding     `json:"findings,omitempty"` // what is wrong
	Took     time.Duration `json:"-"`
	TookMS   float64       `json:"took_ms"`
}

// Fact is a detail.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`

	// List has the parts of a value that is a list, in order.
	List []string `json:"list,omitempty"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Status   Status          `json:"status"` // Warning or Failed
	Kind     entraredis.Kind `json:"kind"`
	Observed string          `json:"observed"` // quoted from what was seen
	Means    string          `json:"means"`
	Remedy   string          `json:"remedy"` // what to change
	Anchor   string          `json:"anchor"` // where docs/errors.md treats it
}

func (r *Report) add(res Result) {
	res.TookMS = float64(res.Took.Round(10*time.Microsecond)) / float64(time.Millisecond)
	r.Checks = append(r.Checks, res)
	switch {
	case res.Status == Failed:
		r.Status = Failed
		if r.FirstFailure == "" {
			r.FirstFailure = res.Check
		}
	case res.Status == Warning && r.Status == OK, res.Status == Skipped && r.Status != Failed:
		// A check that could not be made leaves the answer open.
		r.Status = Warning
	}
}

// First returns the first result that is not OK, nil if all are.
func (r *Report) First() *Result {
	for i := range r.Checks {
		if r.Checks[i].Status != OK {
			return &r.Checks[i]
		}
	}
	return nil
}

// The exit codes of the command, by the class of the first failure. They are
// those of the other commands where there is one that fits.
const (
	exitOK         = 0
	exitToken      = 3
	exitRedis      = 4
	exitRestricted = 5
)

// ExitCode is 0 if no check failed; 3 if the first failure is one of the
// credential or the token; 4 if the cache cannot be reached or verified, or
// refuses the identity; 5 if it authenticates and something behind that fails.
func (r *Report) ExitCode() int {
	switch r.FirstFailure {
	case "":
		return exitOK
	case "credential", "token":
		return exitToken
	case "host", "tcp", "tls", "auth":
		return exitRedis
	}
	return exitRestricted
}

func (r *Result) fact(name, format string, args ...any) {
	r.Facts = append(r.Facts, Fact{Name: name, Value: fmt.Sprintf(format, args...)})
}

func (r *Result) say(format string, args ...any) { r.Summary = fmt.Sprintf(format, args...) }

// fail and warn note what is wrong. Remedy and anchor are the kind's own
// unless the finding has better ones. The summary is the first finding's.

func (r *Result) fail(f Finding) { f.Status = Failed; r.note(f) }
func (r *Result) warn(f Finding) { f.Status = Warning; r.note(f) }

func (r *Result) note(f Finding) {
	if f.Kind == "" {
		f.Kind = entraredis.KindUnknown
	}
	if f.Remedy == "" {
		f.Remedy = f.Kind.Remedy()
	}
	if f.Anchor == "" {
		f.Anchor = f.Kind.Anchor()
	} else {
		f.Anchor = "docs/errors.md#" + f.Anchor
	}
	r.Findings = append(r.Findings, f)
	if r.Status != Failed {
		r.Status = f.Status
	}
}

// each changes every text that comes from outside.
func (r *Result) each(change func(string) string) {
	texts := []*string{&r.Summary}
	for i := range r.Facts {
		texts = append(texts, &r.Facts[i].Value)
		for j := range r.Facts[i].List {
			texts = append(texts, &r.Facts[i].List[j])
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		texts = append(texts, &f.Observed, &f.Means, &f.Remedy)
	}
	for _, t := range texts {
		*t = change(*t)
	}
}
