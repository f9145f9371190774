package main

import (
	"strings"
	"testing"
)

func TestJudgeHoldsOnlyOursToTheBars(t *testing.T) {
	bad := result{OK: 1, Failed: 3, Blocked: 8, Dials: 5}
	tests := []struct {
		name, table, contestant, kase string
		status                        string
		result                        *result
		want                          string // part of the misses; "" = none
	}{
		{"peer fails", "issuer", "peer", "503", statusDone, &bad, ""},
		{"peer panics", "pool", "peer", "failover", statusPanic, nil, ""},
		{"ours fails", "issuer", "dialer", "503", statusDone, &bad, "3 failed"},
		{"ours blocks", "issuer", "adapter", "503", statusDone, &bad, "8 blocked"},
		{"ours wedged", "issuer", "adapter", "503", statusWedged, nil, "wedged"},
		{"ours panics", "pool", "dialer", "failover", statusPanic, nil, "panic"},
		{"the hook's own panic", "pool", "adapter", "failover", statusPanic, nil, ""},
		{"not recovered", "issuer", "dialer", "503", statusDone, &result{OK: 9, RateBefore: 100, RateAfter: 49}, "not recovered"},
		{"recovered", "issuer", "dialer", "503", statusDone, &result{OK: 9, RateBefore: 100, RateAfter: 50}, ""},
		{"nothing ran", "pool", "dialer", "pool 30", statusDone, &result{}, "no command"},
		{"extra dials", "pool", "dialer", "pool 30", statusDone, &result{OK: 1, Dials: 1}, "1 extra dials"},
		{"the hook's dials", "pool", "adapter", "pool 30", statusDone, &result{OK: 1, Dials: 1}, ""},
		{"the hook's failures", "pool", "adapter", "pool 30", statusDone, &result{OK: 1, Failed: 1}, "1 failed"},
		{"lost", "pool", "dialer", "pubsub", statusDone, &result{OK: 1, Lost: 1}, "1 messages lost"},
		{"idle dead", "pool", "dialer", "idle", statusDone, &result{OK: 1, Warm: 50, Alive: 49, Reauthed: 49}, "49 of 50"},
		{"idle alive", "pool", "dialer", "idle", statusDone, &result{OK: 1, Warm: 50, Alive: 50, Reauthed: 50}, ""},
		{"idle never warm", "pool", "dialer", "idle", statusDone, &result{OK: 1}, "0 of 0"},
		{"heap grows", "pool", "dialer", "memory", statusDone, &result{OK: 1, HeapFrom: 1 << 20, HeapTo: 4 << 20}, "heap grew"},
		{"heap flat", "pool", "dialer", "memory", statusDone, &result{OK: 1, HeapFrom: 4 << 20, HeapTo: 5 << 20}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := contestantNamed(tt.contestant)
			if err != nil {
				t.Fatal(err)
			}
			o := judge(outcome{
				Spec: spec{Table: tt.table, Contestant: tt.contestant, Case: tt.kase, PoolSize: 50},
				Ours: c.ours, Status: tt.status, Result: tt.result,
			})
			got := strings.Join(o.Misses, "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("misses %q, want %q in it", got, tt.want)
			}
		})
	}
}

// Every case that the hook is excused from exists: a renamed case would silently be judged, or silently not.
func TestExcusedCasesExist(t *testing.T) {
	for name := range hookLimited {
		if scenarios[name] == nil {
			t.Errorf("hookLimited names %q, which is no case", name)
		}
	}
	for _, s := range poolCases(false) {
		if scenarios[s.Case] == nil {
			t.Errorf("pool case %q has no scenario", s.Case)
		}
	}
}
