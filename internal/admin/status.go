package admin

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/proxy"
)

//go:embed page/page.css page/page.js
var pageFiles embed.FS

//go:embed page/page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// view is /status: everything the page shows, for machines too. Times are
// RFC 3339, durations seconds.
type view struct {
	Version  string       `json:"version"`
	Now      time.Time    `json:"now"`
	Began    time.Time    `json:"began"`
	Stopping bool         `json:"stopping"`
	Reload   string       `json:"reload_error"`
	Targets  []targetView `json:"targets"`
}

type targetView struct {
	Name       string   `json:"name"`
	Addr       string   `json:"addr"`
	Credential string   `json:"credential"`
	Listen     []string `json:"listen"`
	Ready      bool     `json:"ready"`
	State      string   `json:"state"`
	Problem    string   `json:"problem"` // why it is not ready

	Username    string     `json:"username"`
	ExpiresOn   *time.Time `json:"expires_on"`
	ExpiresIn   float64    `json:"expires_in"`
	LastRefresh *time.Time `json:"last_refresh"`
	NextRefresh *time.Time `json:"next_refresh"`
	Refreshes   uint64     `json:"refreshes"`
	Failures    uint64     `json:"refresh_failures"`
	TokenError  string     `json:"token_error"`

	Clients      int               `json:"clients"`
	Accepted     uint64            `json:"accepted"`
	Refused      uint64            `json:"refused"`
	LoginsFailed uint64            `json:"logins_failed"`
	BytesUp      uint64            `json:"bytes_up"`
	BytesDown    uint64            `json:"bytes_down"`
	Commands     uint64            `json:"commands"`
	Upstreams    int64             `json:"upstreams"`
	Shared       int               `json:"shared_upstreams"`
	SharedLost   uint64            `json:"shared_upstreams_lost"`
	CommandsLost uint64            `json:"commands_lost"`
	Moves        uint64            `json:"client_moves"`
	SlowReaders  uint64            `json:"slow_readers"`
	Restored     uint64            `json:"upstreams_restored"`
	BigCommands  uint64            `json:"oversized_commands"`
	BigReplies   uint64            `json:"oversized_replies"`
	Maintenance  string            `json:"maintenance"` // announced last
	Dialing      int               `json:"dialing"`
	DialsWaiting int               `json:"dials_waiting"`
	Spares       int               `json:"spares"`
	SparesTaken  uint64            `json:"spares_taken"`
	Dials        uint64            `json:"dials"`
	DialFailures map[string]uint64 `json:"dial_failures"`
	DialError    string            `json:"dial_error"`
	Reauths      uint64            `json:"reauths"`
	Refusals     uint64            `json:"reauths_refused"`
	Deferred     map[string]uint64 `json:"reauths_deferred"`
	Handovers    uint64            `json:"handovers"`
	Unmoved      uint64            `json:"handovers_failed"`
	Expired      uint64            `json:"connections_expired"`

	Minutes []minuteView `json:"minutes"`
	Events  []eventView  `json:"events"` // newest first

	// Text is what the page shows, by field: written here once, for the page as
	// it comes and as it changes.
	Text map[string]string `json:"text"`
}

type minuteView struct {
	Ago       int `json:"ago"` // minutes
	Refreshed int `json:"refreshed"`
	Failed    int `json:"failed"`
	Reauths   int `json:"reauths"`
	Refused   int `json:"refused"`
	Deferred  int `json:"deferred"`
	Expired   int `json:"expired"`
	Unmoved   int `json:"handovers_failed"`
}

type eventView struct {
	Type  entraredis.EventType `json:"type"`
	First time.Time            `json:"first"`
	Last  time.Time            `json:"last"`
	Count int                  `json:"count"`
	Text  string               `json:"text"`
	When  string               `json:"when"`
}

func (s *server) view() view {
	now := time.Now().UTC()
	v := view{Version: s.Version, Now: now, Began: s.began.UTC(), Stopping: s.Daemon.Stopping(), Targets: []targetView{}}
	if s.Reloads != nil {
		v.Reload = s.Reloads().Err
	}
	for _, t := range s.Daemon.Status() {
		v.Targets = append(v.Targets, viewOf(t, now))
	}
	return v
}

func viewOf(t daemon.Status, now time.Time) targetView {
	v := targetView{
		Name: t.Name, Addr: t.Addr, Credential: t.Credential, Listen: append([]string{}, t.Listen...), State: string(t.State), Problem: problem(t, now),
		Username: t.Token.Username, ExpiresOn: at(t.Token.ExpiresOn), LastRefresh: at(t.Token.LastRefresh), NextRefresh: at(t.Token.NextAttempt),
		Refreshes: t.Token.Refreshes, Failures: t.Token.Failures, TokenError: words(t.Token.LastError),
		Clients: t.Proxy.Clients, Accepted: t.Proxy.Accepted, Refused: t.Proxy.Refused, LoginsFailed: t.Proxy.LoginsFailed,
		BytesUp: t.Proxy.BytesUp, BytesDown: t.Proxy.BytesDown, Commands: t.Proxy.Commands,
		Shared: t.Proxy.Pipes, SharedLost: t.Proxy.PipesLost, CommandsLost: t.Proxy.CommandsLost, Moves: t.Proxy.Moves, SlowReaders: t.Proxy.SlowReaders, Restored: t.Proxy.Restored,
		BigCommands: t.Proxy.OversizedCommands, BigReplies: t.Proxy.OversizedReplies,
		Maintenance: maintenance(t.Proxy.LastMaintenance, now),
		Dialing:     t.Proxy.Dialing, DialsWaiting: t.Proxy.DialsWaiting, Spares: t.Proxy.Spares, SparesTaken: t.Proxy.SparesTaken,
		Upstreams: t.Dialer.Open, Dials: t.Dialer.Dials, DialFailures: map[string]uint64{}, DialError: words(t.Proxy.LastDialError),
		Reauths: t.Dialer.Reauths, Refusals: t.Dialer.ReauthRefused, Deferred: t.Dialer.Deferred, Handovers: t.Dialer.Handovers, Unmoved: t.Dialer.HandoverFailed, Expired: t.Dialer.Expired,
		Minutes: []minuteView{}, Events: []eventView{},
	}
	v.Ready = v.Problem == ""
	for kind, n := range t.Proxy.FailedDials {
		v.DialFailures[string(kind)] = n
	}
	for _, m := range t.Minutes {
		ago := int(now.Truncate(time.Minute).Sub(m.Start) / time.Minute)
		v.Minutes = append(v.Minutes, minuteView{max(0, ago), m.Refreshed, m.Failed, m.Reauths, m.Refused, m.Deferred, m.Expired, m.Unmoved})
	}
	for _, e := range slices.Backward(t.Events) {
		v.Events = append(v.Events, viewOfEvent(e, now))
	}
	expires, refresh := "none yet", "-"
	if v.ExpiresOn != nil {
		left := v.ExpiresOn.Sub(now)
		v.ExpiresIn = left.Seconds()
		expires = "in " + period(left)
		if left <= 0 {
			expires = "expired " + period(-left) + " ago"
		}
	}
	if v.NextRefresh != nil {
		refresh = "in " + period(max(0, v.NextRefresh.Sub(now)))
	}
	state := v.State
	if v.Ready {
		state = "ready"
	}
	v.Text = map[string]string{
		"state": state, "problem": v.Problem, "listen": strings.Join(v.Listen, ", "), "username": orDash(v.Username),
		"expires": expires, "refresh": refresh, "refreshes": fmt.Sprintf("%d, %d failed", v.Refreshes, v.Failures),
		"clients": fmt.Sprint(v.Clients), "accepted": fmt.Sprintf("%d, %d refused, %d wrong passwords", v.Accepted, v.Refused, v.LoginsFailed),
		"upstreams": fmt.Sprintf("%d, %d shared, %d spare", v.Upstreams, v.Shared, v.Spares), "dials": fmt.Sprintf("%d, failed: %s", v.Dials, tally(v.DialFailures)), "dialerror": v.DialError,
		"reauths": fmt.Sprintf("%d, %d refused", v.Reauths, v.Refusals), "deferred": tally(v.Deferred), "handovers": fmt.Sprintf("%d, %d failed", v.Handovers, v.Unmoved), "expired": fmt.Sprint(v.Expired),
		"maintenance": v.Maintenance, "commands": fmt.Sprint(v.Commands), "bytes": size(v.BytesUp) + " up, " + size(v.BytesDown) + " down",
	}
	return v
}

func viewOfEvent(e daemon.Event, now time.Time) eventView {
	text := strings.ReplaceAll(string(e.Type), "-", " ")
	if e.Count > 1 {
		text += fmt.Sprintf(" × %d", e.Count)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	return eventView{e.Type, e.First.UTC(), e.Last.UTC(), e.Count, text, period(max(0, now.Sub(e.Last))) + " ago"}
}

func (s *server) statusJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(s.view()) // the one who asked may have gone
}

func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pageTemplate.Execute(w, s.view())
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// maintenance tells the event last announced: "NodeMaintenanceStarting of a replica, 5m 10s ago, for 2026-01-02T15:04:05Z".
func maintenance(m proxy.Maintenance, now time.Time) string {
	if m.Type == "" {
		return "none announced"
	}
	text := m.Type
	if m.Replica {
		text += " of a replica"
	}
	text += ", " + period(max(0, now.Sub(m.Heard))) + " ago"
	if !m.Start.IsZero() {
		text += ", for " + m.Start.UTC().Format(time.RFC3339)
	}
	return text
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "entraredis: ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// tally renders counts by name: "tls 2, unreachable 1".
func tally(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// period renders a duration in its two largest units, fit for a table.
func period(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
