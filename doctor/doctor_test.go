package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

func TestTargets(t *testing.T) {
	for _, tc := range []struct{ addr, target, problem string }{
		{"example.redis.cache.windows.net", "example.redis.cache.windows.net:6380", ""},
		{"Example.Redis.Cache.Windows.Net.", "Example.Redis.Cache.Windows.Net:6380", ""},
		{"example.geo.redis.cache.windows.net", "example.geo.redis.cache.windows.net:6380", ""},
		{"example.redis.cache.chinacloudapi.cn", "example.redis.cache.chinacloudapi.cn:6380", ""},
		{"example.westeurope.redis.azure.net", "example.westeurope.redis.azure.net:10000", ""},
		{"example.usgovvirginia.redis.usgovcloudapi.net", "example.usgovvirginia.redis.usgovcloudapi.net:10000", ""},
		{"example.redis.cache.windows.net:15001", "example.redis.cache.windows.net:15001", ""},
		{"rediss://example.redis.cache.windows.net:6380/", "example.redis.cache.windows.net:6380", ""},
		{"cache.contoso.example", "cache.contoso.example:6380", ""},
		{"::1", "[::1]:6380", ""},
		{"[::1]:7000", "[::1]:7000", ""},
		{"", "", "no host name"},
		{":6380", "", "no host name"},
		{"a:b:c", "", "no host name"},
		{"example.test:0", "", "no port"},
		{"example.redis.cache.windows.net:6380,password=hunter2,ssl=True", "", "connection string"},
		{"user:hunter2@example.test", "", "neither HOST"},
	} {
		// Ended before it begins, so that nothing is examined.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		report, err := doctor.Run(ctx, doctor.Options{Addr: tc.addr, Credential: static{}})
		if tc.problem == "" {
			if err != nil || report.Target != tc.target {
				t.Errorf("%q: got %+v, %v, want the target %q", tc.addr, report, err, tc.target)
			}
			continue
		}
		_, ok := errors.AsType[*doctor.TargetError](err)
		if !ok || !strings.Contains(err.Error(), tc.problem) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want a TargetError with %q", tc.addr, err, tc.problem)
		}
	}
}

func TestRunRefusesBadOptions(t *testing.T) {
	if _, err := doctor.Run(context.Background(), doctor.Options{Addr: "example.test"}); err == nil {
		t.Error("no credential: no error")
	}
	if _, err := doctor.Run(context.Background(), doctor.Options{Addr: "example.test", Credential: static{}, Scope: "https://redis.azure.com"}); err == nil {
		t.Error("bad scope: no error")
	}
}

// What the permission probes send must not change anything, also for one who
// may do everything, and also on a key that exists.
func TestNothingIsChanged(t *testing.T) {
	for _, writeProbe := range []bool{false, true} {
		p := newPatient(t, emulator.RunT(t), false)
		admin, err := p.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		c := redis.NewConn(admin, 0, 0)
		defer c.Close()
		if _, err := c.Do("AUTH", emulator.AppObjectID, p.Mint("app", nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do("SET", "mine", "before"); err != nil {
			t.Fatal(err)
		}
		p.o.Key, p.o.WriteProbe = "mine", writeProbe
		report, text := p.run(context.Background())
		if report.Status != doctor.OK {
			t.Errorf("status %s\n%s", report.Status, text)
		}
		keys, err := redis.Strings(c.Do("KEYS", "*"))
		if err != nil || len(keys) != 1 || keys[0] != "mine" {
			t.Errorf("write probe %t: keys %q, %v; want the one that was there", writeProbe, keys, err)
		}
		if value, err := redis.String(c.Do("GET", "mine")); value != "before" || err != nil {
			t.Errorf("write probe %t: value %q, %v", writeProbe, value, err)
		}
	}
}

func TestClusterOfReachableNodes(t *testing.T) {
	p := newPatient(t, emulator.RunT(t), true)
	_, port, err := net.SplitHostPort(p.RedisAddr())
	if err != nil {
		t.Fatal(err)
	}
	// The same node once by address and once without, as Redis says "where you are".
	reply("CLUSTER SLOTS", "*2\r\n*3\r\n:0\r\n:99\r\n*2\r\n$9\r\n127.0.0.1\r\n:"+port+"\r\n*3\r\n:100\r\n:199\r\n*2\r\n$0\r\n\r\n:6380\r\n")(p)
	report, text := p.run(context.Background())
	last := report.Checks[len(report.Checks)-1]
	if last.Check != "topology" || last.Status != doctor.OK || !strings.Contains(last.Summary, "cluster of 2 nodes") {
		t.Errorf("got %s: %s\n%s", last.Status, last.Summary, text)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, emulator.RunT(t, emulator.Options{NoListen: true}), false)
		p.SetFault(emulator.Fault{Endpoint: "token", Hang: true})
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("enough"))
		defer cancel()
		begin := time.Now()
		report, text := p.run(ctx)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("ended after %v", took)
		}
		if report.Status != doctor.Warning || report.FirstFailure != "" || !strings.Contains(text, "ended before it was done: enough") {
			t.Errorf("status %s, first failure %q\n%s", report.Status, report.FirstFailure, text)
		}
	})
}

func TestWrittenWidth(t *testing.T) {
	r := doctor.Result{Check: "tcp", Status: doctor.Failed, Summary: strings.Repeat("many words ", 30),
		Findings: []doctor.Finding{{Status: doctor.Failed, Observed: strings.Repeat("été ", 60), Means: "short", Remedy: strings.Repeat("x", 90), Anchor: "docs/errors.md#a"}}}
	var b bytes.Buffer
	if err := r.Write(&b, doctor.Style{Width: 80}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !strings.Contains(line, "xxx") {
			t.Errorf("%d columns: %q", n, line)
		}
		if strings.HasSuffix(line, " \n") {
			t.Errorf("ends in a space: %q", line)
		}
	}
	b.Reset()
	if err := r.Write(&b, doctor.Style{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(b.String(), "\n"); got != 5 {
		t.Errorf("%d lines for a log, want 5:\n%s", got, &b)
	}
}

func TestReportAsJSON(t *testing.T) {
	p := newPatient(t, emulator.RunT(t), false)
	username(emulator.AppClientID)(p)
	report, _ := p.run(context.Background())
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Target       string
		Status       string
		FirstFailure string `json:"first_failure"`
		Checks       []struct {
			Check, Status string
			TookMS        *float64 `json:"took_ms"`
			Findings      []struct{ Kind, Observed, Means, Remedy, Anchor string }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Status != "failed" || got.FirstFailure != "auth" || got.Target != p.Host()+":6380" || len(got.Checks) != len(report.Checks) {
		t.Errorf("got %+v", got)
	}
	for _, c := range got.Checks {
		if c.TookMS == nil {
			t.Errorf("%s has no took_ms", c.Check)
		}
		if c.Check == "auth" && (len(c.Findings) != 1 || c.Findings[0].Kind != "wrong-username") {
			t.Errorf("findings of auth: %+v", c.Findings)
		}
	}
}

// On a node of a cluster most keys are another node's.
func TestWriteProbeFindsAKeyOfTheNode(t *testing.T) {
	p := newPatient(t, emulator.RunT(t), false)
	p.o.WriteProbe = true
	p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SET", Body: "ERR syntax error", Count: 1}) // the permission's
	p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SET", Body: "MOVED 866 10.0.0.5:15001", Count: 3})
	report, text := p.run(context.Background())
	if report.Status != doctor.OK || !strings.Contains(text, "wrote, read and deleted a key") {
		t.Errorf("status %s\n%s", report.Status, text)
	}

	p = newPatient(t, emulator.RunT(t), false)
	p.o.WriteProbe = true
	p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SET", Body: "MOVED 866 10.0.0.5:15001"})
	if report, text = p.run(context.Background()); report.FirstFailure != "permissions" {
		t.Errorf("a node that holds no key at all: first failure %q\n%s", report.FirstFailure, text)
	}
}
