package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/admin"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/proxy"
)

// fleet is a daemon in a state of the test's choice.
type fleet struct {
	all      []daemon.Status
	stopping bool
	checked  []string
	checkErr error
}

func (f *fleet) Status() []daemon.Status { return f.all }
func (f *fleet) Stopping() bool          { return f.stopping }
func (f *fleet) Check(_ context.Context, name string) error {
	f.checked = append(f.checked, name)
	return f.checkErr
}

func ready(name string) daemon.Status {
	now := time.Now()
	return daemon.Status{
		Name: name, Addr: "cache:6380", Credential: "azure-cli", Listen: []string{"127.0.0.1:6379"}, State: daemon.Serving, Tried: true,
		Token:  entraredis.Status{Username: "object-id", ExpiresOn: now.Add(time.Hour), LastRefresh: now, NextAttempt: now.Add(time.Minute), Refreshes: 3, Unchanged: 1, Failures: 2, Failed: map[entraredis.Kind]uint64{entraredis.KindIssuerUnreachable: 2}},
		Dialer: entraredis.Stats{Open: 4, Dials: 9, Reauths: 7, ReauthRefused: 1, Refused: map[entraredis.Kind]uint64{entraredis.KindExpired: 1}, ReauthDeferred: 2, Deferred: map[string]uint64{"transaction": 2}, Handovers: 17, HandoverFailed: 18, Expired: 1},
		Proxy: proxy.Stats{Clients: 4, Accepted: 10, Refused: 1, LoginsFailed: 3, DialFailures: 2, BytesUp: 2048, BytesDown: 5, Dialing: 2, DialsWaiting: 6, Spares: 1, SparesTaken: 8,
			Pipes: 2, PipesLost: 11, CommandsLost: 12, Moves: 13, SlowReaders: 14, OversizedCommands: 15, OversizedReplies: 16, Commands: 19, Restored: 20, Maintenance: map[string]uint64{"NodeMaintenanceStarting": 21},
			Latencies:   proxy.Latencies{Buckets: [len(proxy.LatencyBounds) + 1]uint64{0: 3, 3: 2, len(proxy.LatencyBounds): 1}, Sum: 15 * time.Second},
			FailedDials: map[entraredis.Kind]uint64{entraredis.KindTLS: 2}, LastDialError: errors.New("entraredis: tls <broke>")},
		Minutes: []daemon.Minute{{Start: now.Truncate(time.Minute), Reauths: 7, Refreshed: 1, Unmoved: 18}},
		Events:  []daemon.Event{{Type: entraredis.EventRefreshed, First: now, Last: now, Count: 1}, {Type: entraredis.EventReauthRefused, First: now, Last: now, Count: 2, Reason: "expired", Error: "refused & gone"}},
	}
}

// get asks and returns code and text.
func get(t *testing.T, o admin.Options, method, target string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:9379"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	admin.New(o).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestProbes(t *testing.T) {
	starting := daemon.Status{Name: "b", State: daemon.Starting}
	failed := daemon.Status{Name: "b", State: daemon.Failed, Err: errors.New("address in use"), Tried: true}
	expired, tokenless := ready("b"), ready("b")
	expired.Token.ExpiresOn = time.Now().Add(-time.Second)
	expired.Token.LastError = errors.New("issuer is down")
	tokenless.Token = entraredis.Status{}
	away, connected, before := ready("b"), ready("b"), ready("b")
	away.Proxy.LastDialFailure, connected.Proxy.LastDialFailure, before.Proxy.LastDialFailure = time.Now(), time.Now(), time.Now().Add(-time.Minute)
	away.Dialer.Open, before.Dialer.Open = 0, 0
	for _, tt := range []struct {
		name  string
		fleet *fleet
		path  string
		check bool
		code  int
		text  string
	}{
		{"started", &fleet{all: []daemon.Status{ready("a"), failed}}, "/startup", false, 200, "started\n"},
		{"not started", &fleet{all: []daemon.Status{ready("a"), starting}}, "/startup", false, 503, "b: starting\n"},
		{"nothing configured yet", &fleet{}, "/startup", false, 503, "no target yet\n"},
		{"nothing to be ready", &fleet{}, "/readiness", false, 503, "no target yet\n"},
		{"nothing of that name", &fleet{}, "/readiness?target=a", false, 503, "no target yet\n"},
		{"alive", &fleet{all: []daemon.Status{failed}}, "/liveness", false, 200, "alive\n"},
		{"ready", &fleet{all: []daemon.Status{ready("a"), ready("b")}}, "/readiness", false, 200, "a: ready\nb: ready\n"},
		{"one failed", &fleet{all: []daemon.Status{ready("a"), failed}}, "/readiness", false, 503, "a: ready\nb: address in use\n"},
		{"the other", &fleet{all: []daemon.Status{ready("a"), failed}}, "/readiness?target=a", false, 200, "a: ready\n"},
		{"nobody", &fleet{all: []daemon.Status{ready("a")}}, "/readiness?target=c", false, 404, "no target is named \"c\"\n"},
		{"starting", &fleet{all: []daemon.Status{starting}}, "/readiness", false, 503, "b: starting\n"},
		{"expired", &fleet{all: []daemon.Status{expired}}, "/readiness", false, 503, "b: no valid token: issuer is down\n"},
		{"no token", &fleet{all: []daemon.Status{tokenless}}, "/readiness", false, 503, "b: no token yet\n"},
		{"cache away", &fleet{all: []daemon.Status{away}}, "/readiness", false, 503, "b: no connection to the cache: tls <broke>\n"},
		{"a dial failed", &fleet{all: []daemon.Status{connected}}, "/readiness", false, 200, "b: ready\n"},
		{"a dial failed before", &fleet{all: []daemon.Status{before}}, "/readiness", false, 200, "b: ready\n"},
		{"stopping", &fleet{all: []daemon.Status{ready("a")}, stopping: true}, "/readiness", false, 503, "shutting down\n"},
		{"backend up", &fleet{all: []daemon.Status{ready("a")}}, "/readiness?backend=1", false, 200, "a: ready\n"},
		{"backend away", &fleet{all: []daemon.Status{ready("a")}, checkErr: errors.New("refused")}, "/readiness?backend=1", false, 503, "a: refused\n"},
		{"backend away by option", &fleet{all: []daemon.Status{ready("a")}, checkErr: errors.New("refused")}, "/readiness", true, 503, "a: refused\n"},
		{"not asked", &fleet{all: []daemon.Status{ready("a")}, checkErr: errors.New("refused")}, "/readiness?backend=0", true, 200, "a: ready\n"},
	} {
		code, text := get(t, admin.Options{Daemon: tt.fleet, BackendCheck: tt.check}, "GET", tt.path)
		if code != tt.code || text != tt.text {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, code, text, tt.code, tt.text)
		}
	}
	f := &fleet{all: []daemon.Status{expired}}
	if get(t, admin.Options{Daemon: f}, "GET", "/readiness?backend=1"); len(f.checked) != 0 {
		t.Errorf("a target without token was dialed: %v", f.checked)
	}
}

func TestQuit(t *testing.T) {
	ended := 0
	o := admin.Options{Daemon: &fleet{}, Shutdown: func() { ended++ }}
	if code, _ := get(t, o, "GET", "/quitquitquit"); code != http.StatusMethodNotAllowed || ended != 0 {
		t.Errorf("GET: got %d, ended %d times", code, ended)
	}
	fromPage := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	if code, _ := get(t, o, "POST", "/quitquitquit", fromPage); code != http.StatusForbidden || ended != 0 {
		t.Errorf("from a web page: got %d, ended %d times", code, ended)
	}
	if code, _ := get(t, o, "POST", "/quitquitquit"); code != 200 || ended != 1 {
		t.Errorf("POST: got %d, ended %d times", code, ended)
	}
	if code, text := get(t, admin.Options{Daemon: &fleet{}}, "POST", "/quitquitquit"); code != 403 || !strings.Contains(text, "--allow-shutdown") {
		t.Errorf("not allowed: got %d %q", code, text)
	}
}

func TestHost(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:9379": 200, "localhost": 200, "LocalHost:1": 200, "[::1]:9379": 200, "10.0.0.1": 200,
		"evil.example": 403, "127.0.0.1.evil.example:9379": 403, "": 403,
	} {
		as := func(r *http.Request) { r.Host = host }
		if code, _ := get(t, admin.Options{Daemon: &fleet{}}, "GET", "/liveness", as); code != want {
			t.Errorf("%q: got %d, want %d", host, code, want)
		}
		if code, _ := get(t, admin.Options{Daemon: &fleet{}, AnyHost: true}, "GET", "/liveness", as); code != 200 {
			t.Errorf("%q with AnyHost: got %d", host, code)
		}
	}
}

func TestPprofOnlyIfAsked(t *testing.T) {
	for on, want := range map[bool]int{true: 200, false: 404} {
		if code, _ := get(t, admin.Options{Daemon: &fleet{}, Pprof: on}, "GET", "/debug/pprof/"); code != want {
			t.Errorf("%v: got %d, want %d", on, code, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	reloads := func() admin.Reloads { return admin.Reloads{Good: 2, Bad: 1, Err: "wrong"} }
	code, text := get(t, admin.Options{Daemon: &fleet{all: []daemon.Status{ready("a"), {Name: "b", State: daemon.Failed}}}, Version: "v1", Reloads: reloads}, "GET", "/metrics")
	if code != 200 {
		t.Fatalf("got %d %s", code, text)
	}
	for _, want := range []string{
		`entraredis_target_up{target="a"} 1`, `entraredis_target_up{target="b"} 0`,
		`entraredis_clients{target="a"} 4`, `entraredis_clients_accepted_total{target="a"} 10`, `entraredis_clients_refused_total{target="a"} 1`,
		`entraredis_logins_failed_total{target="a"} 3`, `entraredis_bytes_total{direction="up",target="a"} 2048`, `entraredis_bytes_total{direction="down",target="a"} 5`,
		`entraredis_token_refreshes_total{result="new",target="a"} 3`, `entraredis_token_refreshes_total{result="unchanged",target="a"} 1`, `entraredis_token_refreshes_total{result="failed",target="a"} 2`,
		`entraredis_upstream_connections{target="a"} 4`, `entraredis_dials_total{target="a"} 9`, `entraredis_dial_failures_total{kind="tls",target="a"} 2`,
		`entraredis_dials{state="active",target="a"} 2`, `entraredis_dials{state="waiting",target="a"} 6`, `entraredis_spares{target="a"} 1`, `entraredis_spares_taken_total{target="a"} 8`,
		`entraredis_shared_upstreams{target="a"} 2`, `entraredis_shared_upstreams_lost_total{target="a"} 11`, `entraredis_commands_lost_total{target="a"} 12`,
		`entraredis_client_moves_total{target="a"} 13`, `entraredis_slow_readers_total{target="a"} 14`,
		`entraredis_oversized_total{target="a",what="command"} 15`, `entraredis_oversized_total{target="a",what="reply"} 16`,
		`entraredis_reauths_total{result="accepted",target="a"} 7`, `entraredis_reauths_total{result="refused",target="a"} 1`,
		`entraredis_token_refresh_failures_total{kind="issuer-unreachable",target="a"} 2`, `entraredis_reauth_refusals_total{kind="expired",target="a"} 1`,
		`entraredis_reauths_deferred_total{reason="transaction",target="a"} 2`, `entraredis_connections_expired_total{target="a"} 1`,
		`entraredis_handovers_total{result="accepted",target="a"} 17`, `entraredis_handovers_total{result="failed",target="a"} 18`,
		`entraredis_commands_total{target="a"} 19`, `entraredis_upstreams_restored_total{target="a"} 20`,
		`entraredis_maintenance_events_total{target="a",type="NodeMaintenanceStarting"} 21`,
		`entraredis_reply_seconds_bucket{target="a",le="0.0001"} 3`, `entraredis_reply_seconds_bucket{target="a",le="0.0005"} 3`,
		`entraredis_reply_seconds_bucket{target="a",le="0.001"} 5`, `entraredis_reply_seconds_bucket{target="a",le="10"} 5`,
		`entraredis_reply_seconds_bucket{target="a",le="+Inf"} 6`, `entraredis_reply_seconds_sum{target="a"} 15`, `entraredis_reply_seconds_count{target="a"} 6`,
		`entraredis_build_info{go="` + runtime.Version() + `",version="v1"} 1`,
		`entraredis_config_reloads_total{result="applied"} 2`, `entraredis_config_reloads_total{result="rejected"} 1`, `entraredis_config_last_reload_successful 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	if !strings.Contains(text, `entraredis_token_expiry_seconds{target="a"} 3`) || strings.Contains(text, `entraredis_token_expiry_seconds{target="b"}`) {
		t.Error("token_expiry_seconds: want about 3600 for a and none for b, which has no token")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// What is exported is in the table of docs/operations.md, and the other way round; alerts are about what is exported.
func TestMetricsAreDocumented(t *testing.T) {
	tokenless := ready("b")
	tokenless.Token = entraredis.Status{}
	reloads := func() admin.Reloads { return admin.Reloads{} }
	_, text := get(t, admin.Options{Daemon: &fleet{all: []daemon.Status{ready("a"), tokenless}}, Reloads: reloads}, "GET", "/metrics")
	exported, documented := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (entraredis_\w+)`).FindAllStringSubmatch(text, -1) {
		exported[m[1]] = true
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(entraredis_\\w+)`").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
	}
	if !maps.Equal(exported, documented) {
		t.Errorf("exported %v, documented %v", slices.Sorted(maps.Keys(exported)), slices.Sorted(maps.Keys(documented)))
	}
	for _, m := range regexp.MustCompile(`expr: .*`).FindAllString(string(page), -1) {
		for _, name := range regexp.MustCompile(`entraredis_\w+`).FindAllString(m, -1) {
			if !exported[name] {
				t.Errorf("%s: no such metric", m)
			}
		}
	}
	// EntraRedisNoToken compares the labels of these two.
	for name, want := range map[string]bool{"entraredis_target_up{target=\"a\"}": true, "entraredis_token_expiry_seconds{target=\"a\"}": true,
		"entraredis_target_up{target=\"b\"}": true, "entraredis_token_expiry_seconds{target=\"b\"}": false} {
		if strings.Contains(text, name) != want {
			t.Errorf("%s: want it there: %v", name, want)
		}
	}
}

func TestStatus(t *testing.T) {
	code, text := get(t, admin.Options{Daemon: &fleet{all: []daemon.Status{ready("a")}}, Version: "v1"}, "GET", "/status")
	var got struct {
		Version string
		Targets []struct {
			Ready        bool
			ExpiresIn    float64           `json:"expires_in"`
			DialFailures map[string]uint64 `json:"dial_failures"`
			Minutes      []struct {
				Ago, Reauths int
				Unmoved      int `json:"handovers_failed"`
			}
			Events []struct{ Text string }
			Text   map[string]string
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 || got.Version != "v1" || len(got.Targets) != 1 {
		t.Fatalf("got %d %v %s", code, err, text)
	}
	a := got.Targets[0]
	if !a.Ready || a.ExpiresIn < 3000 || a.DialFailures["tls"] != 2 || len(a.Minutes) != 1 || a.Minutes[0].Reauths != 7 || a.Minutes[0].Unmoved != 18 {
		t.Errorf("got %+v", a)
	}
	if len(a.Events) != 2 || a.Events[0].Text != "reauth refused × 2: expired: refused & gone" {
		t.Errorf("events, newest first: got %+v", a.Events)
	}
	for key, want := range map[string]string{"state": "ready", "bytes": "2.0 KiB up, 5 B down", "deferred": "transaction 2", "reauths": "7, 1 refused", "handovers": "17, 18 failed"} {
		if a.Text[key] != want {
			t.Errorf("text %s: got %q, want %q", key, a.Text[key], want)
		}
	}
}

func TestPage(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	bad := daemon.Status{Name: `<img src=x>`, State: daemon.Failed, Err: errors.New("no <b>")}
	admin.New(admin.Options{Daemon: &fleet{all: []daemon.Status{ready("orders"), bad}}}).ServeHTTP(w, r)
	page := w.Body.String()
	for _, want := range []string{"orders", "object-id", "tls &lt;broke&gt;", "&lt;img src=x&gt;", "no &lt;b&gt;", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for _, banned := range []string{"<img", "onclick", "onload", "<style", "https://", "http://"} {
		if strings.Contains(page, banned) {
			t.Errorf("page holds %q", banned)
		}
	}
	if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: got %q", got)
	}
	for _, path := range []string{"/page/page.css", "/page/page.js"} {
		if code, text := get(t, admin.Options{Daemon: &fleet{}}, "GET", path); code != 200 || text == "" {
			t.Errorf("%s: got %d", path, code)
		}
	}
	if code, _ := get(t, admin.Options{Daemon: &fleet{}}, "GET", "/nothing"); code != 404 {
		t.Errorf("/nothing: got %d", code)
	}
	if code, text := get(t, admin.Options{Daemon: &fleet{}}, "GET", "/"); code != 200 || !strings.Contains(text, "No targets.") {
		t.Errorf("without targets: got %d", code)
	}
}
