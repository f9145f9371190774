package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestClassify(t *testing.T) {
	exit := errors.New("exit status 2")
	tests := []struct {
		name, stdout, stderr string
		err                  error
		timedOut             bool
		status, detail       string
	}{
		{"done", `{"ok":3}`, "some log\n", nil, false, statusDone, ""},
		{"panic", "", "log\npanic: runtime error: nil pointer [recovered, repanicked]\n\ngoroutine 1", exit, false, statusPanic, "runtime error: nil pointer"},
		{"wedged", "", "panic: while being killed", exit, true, statusWedged, "no result within 1s"},
		{"error", "", "Usage\nrotation: error: emulator: no port\n", exit, false, statusError, "rotation: error: emulator: no port"},
		{"silent error", "", "", exit, false, statusError, "exit status 2"},
		{"garbage", "not json", "", nil, false, statusError, "no result on stdout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := classify(spec{Contestant: "dialer", Limit: time.Second}, []byte(tt.stdout), tt.stderr, tt.err, tt.timedOut)
			if o.Status != tt.status || o.Detail != tt.detail {
				t.Errorf("got %q %q, want %q %q", o.Status, o.Detail, tt.status, tt.detail)
			}
			if !o.Ours {
				t.Error("the dialer's row is not ours")
			}
			if (o.Result != nil) != (tt.status == statusDone) {
				t.Errorf("result %+v with status %q", o.Result, o.Status)
			}
		})
	}
}

func TestSelectSpecs(t *testing.T) {
	cases := []spec{{Case: "pool 30"}, {Case: "idle"}}
	got, err := selectSpecs(flags{cases: []string{"idle"}, contestants: []string{"peer", "dialer"}}, "pool", cases)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Contestant != "peer" || got[1].Contestant != "dialer" || got[1].Case != "idle" || got[1].Table != "pool" {
		t.Errorf("got %+v", got)
	}
	if _, err := selectSpecs(flags{cases: []string{"no such"}}, "pool", cases); err == nil {
		t.Error("a case that does not exist is no error")
	}
	if _, err := selectSpecs(flags{contestants: []string{"no such"}}, "pool", cases); err == nil {
		t.Error("a contestant that does not exist is no error")
	}
}

func TestHeadKeepsTheBeginning(t *testing.T) {
	h := &head{limit: 5}
	for _, s := range []string{"abc", "def", "ghi"} {
		if n, err := h.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v: a child would die of it", s, n, err)
		}
	}
	if got, want := h.String(), "abcde"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableShowsRowsWithoutResult(t *testing.T) {
	var b bytes.Buffer
	printPool(&b, []outcome{
		{Spec: spec{Case: "failover", Contestant: "peer"}, Status: statusPanic, Detail: "nil pointer"},
		{Spec: spec{Case: "failover", Contestant: "dialer"}, Status: statusDone, Result: &result{OK: 1}},
	})
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("got %d lines, want title, header and 2 rows:\n%s", len(lines), b.String())
	}
	if !strings.Contains(lines[2], "PANIC") || !strings.Contains(lines[2], "nil pointer") {
		t.Errorf("row of the panic: %q", lines[2])
	}
	if got, want := strings.Join(strings.Fields(lines[3]), " "), "failover dialer no 1 0"; got != want {
		t.Errorf("row %q, want %q", got, want)
	}
}
