package doctor_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

func TestHealthyCacheIsAllGreen(t *testing.T) {
	for name, flavor := range map[string]emulator.Flavor{"acr": emulator.FlavorACR, "amr": emulator.FlavorAMR} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t, emulator.Options{Flavor: flavor}), true)
			p.o.WriteProbe = true
			report, text := p.run(context.Background())
			if report.Status != doctor.OK || report.First() != nil || report.ExitCode() != 0 {
				t.Errorf("status %s, exit code %d\n%s", report.Status, report.ExitCode(), text)
			}
			if got, want := len(report.Checks), len(doctor.Checks())-1; got != want { // all but endurance
				t.Errorf("%d checks, want %d\n%s", got, want, text)
			}
			if keys := p.Stats().Commands; keys == 0 {
				t.Error("no command reached the cache")
			}
			t.Log("\n" + text)
		})
	}
}

func TestConnectionOutlivesItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, emulator.RunT(t, emulator.Options{NoListen: true, TokenLifetime: 30 * time.Second}), false)
		p.o.Watch = 2 * time.Minute
		report, text := p.run(context.Background())
		last := report.Checks[len(report.Checks)-1]
		if last.Check != "endurance" || last.Status != doctor.OK {
			t.Errorf("endurance: %s\n%s", last.Status, text)
		}
		counts := map[string]int{}
		for _, f := range last.Facts {
			counts[f.Name], _ = strconv.Atoi(f.Value)
		}
		// The last refresh may be of the last seconds, before its re-AUTH is due.
		if r, a := counts["refreshes"], counts["re-AUTHs"]; a < 3 || a > r || a < r-1 {
			t.Errorf("%d refreshes and %d re-AUTHs of one connection", r, a)
		}
		if counts["commands"] < 100 {
			t.Errorf("%d commands in two minutes", counts["commands"])
		}
		if got := p.Stats(); got.Expired != 0 || got.Reauths < 3 {
			t.Errorf("%d connections expired, %d re-AUTHs", got.Expired, got.Reauths)
		}
		t.Log("\n" + text)
	})
}
