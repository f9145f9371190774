package doctor

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Check is one step on the way.
type Check struct {
	Name   string   // "tls"
	Proves string   // what holds if it succeeds
	Needs  []string // names of the checks without which it is skipped

	run func(context.Context, *exam, *Result)
}

// Checks returns all there are, in the order in which they run. The caller may
// change the slice.
func Checks() []Check {
	return []Check{
		{Name: "host", Proves: "the name is that of a cache and resolves", run: checkHost},
		{Name: "tcp", Proves: "the cache can be reached from here", Needs: []string{"host"}, run: checkTCP},
		{Name: "tls", Proves: "what answers is the cache", Needs: []string{"tcp"}, run: checkTLS},
		{Name: "credential", Proves: "the credential obtains a token", run: checkCredential},
		{Name: "token", Proves: "the token is for Redis and valid now", Needs: []string{"credential"}, run: checkToken},
		{Name: "auth", Proves: "the cache accepts the identity", Needs: []string{"tls", "tcp", "token"}, run: checkAuth},
		{Name: "permissions", Proves: "what the identity may do", Needs: []string{"auth"}, run: checkPermissions},
		{Name: "topology", Proves: "every node can be reached and verified", Needs: []string{"auth"}, run: checkTopology},
		{Name: "endurance", Proves: "a connection outlives its token", Needs: []string{"auth"}, run: checkEndurance},
	}
}

// checks are those that apply to this run.
func (x *exam) checks() []Check {
	return slices.DeleteFunc(Checks(), func(c Check) bool {
		return c.Name == "tls" && x.Plaintext || c.Name == "endurance" && x.Watch == 0
	})
}

// examine runs the checks. One that builds on a check that failed or was
// skipped is skipped and says why.
func (x *exam) examine(ctx context.Context) *Report {
	report := &Report{Target: x.clean(x.addr()), Started: time.Now().UTC().Truncate(time.Millisecond), Status: OK}
	for _, c := range x.checks() {
		x.Progress(Progress{Check: c})
		x.progress = func(note string) { x.Progress(Progress{Check: c, Note: x.clean(note)}) }
		r := Result{Check: c.Name, Proves: c.Proves, Status: OK}
		begin := time.Now()
		if why := report.missing(c.Needs); why != "" {
			r.Status, r.Summary = Skipped, why
		} else {
			c.run(ctx, x, &r)
		}
		r.Took = time.Since(begin)
		if ctx.Err() != nil && r.Status != Skipped {
			// What it saw was the end of ctx, not the cache's doing.
			r = Result{Check: c.Name, Proves: c.Proves, Status: Skipped, Summary: "ended before it was done: " + context.Cause(ctx).Error(), Took: r.Took}
		}
		r.each(x.clean)
		report.add(r)
		x.Progress(Progress{Check: c, Result: &r})
	}
	return report
}

// missing says which of the needed checks stands in the way, if one does.
func (r *Report) missing(needs []string) string {
	for _, done := range r.Checks {
		if !slices.Contains(needs, done.Check) {
			continue
		}
		switch done.Status {
		case Failed:
			return "needs " + done.Check + ", which failed"
		case Skipped:
			return "needs " + done.Check + ", which was skipped"
		}
	}
	return ""
}

// clean strikes out whatever must not be shown: the tokens themselves, all
// that looks like one, and what Redact asks for.
func (x *exam) clean(text string) string {
	for _, secret := range x.seen.secrets() {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	text = strikeOut(text)
	if x.Redact {
		text = x.redactor.apply(text)
	}
	return text
}
