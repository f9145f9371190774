package daemon

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

func TestHistoryJoinsWhatIsAlike(t *testing.T) {
	var h history
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		h.add(entraredis.Event{Type: entraredis.EventReauthenticated, Time: at.Add(time.Duration(i) * 100 * time.Millisecond)})
		h.add(entraredis.Event{Type: entraredis.EventReauthDeferred, Reason: "transaction", Time: at.Add(time.Duration(i) * 100 * time.Millisecond)})
	}
	h.add(entraredis.Event{Type: entraredis.EventReauthRefused, Time: at, Err: errors.New("no")}) // a clock set back
	h.add(entraredis.Event{Type: entraredis.EventHandoverFailed, Time: at, Reason: "connect"})
	h.add(entraredis.Event{Type: entraredis.EventReauthenticated, Time: at, Reason: "handover"})
	minutes, events := h.snapshot(at.Add(2 * time.Minute))
	if len(minutes) != 2 || minutes[0].Reauths != 600 || minutes[1].Reauths != 401 || minutes[1].Deferred != 400 || minutes[1].Refused != 1 ||
		minutes[1].Unmoved != 1 {
		t.Errorf("got %+v", minutes)
	}
	if len(events) != 5 || events[0].Count != 1000 || events[1].Count != 1000 || events[2].Error != "no" {
		t.Errorf("got %+v", events)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 500 {
		h.add(entraredis.Event{Type: entraredis.EventRefreshFailed, Reason: fmt.Sprint(i), Time: at.Add(time.Duration(i) * time.Minute)})
	}
	minutes, events := h.snapshot(at.Add(500 * time.Minute))
	if len(events) != keptEvents || events[keptEvents-1].Reason != "499" {
		t.Errorf("got %d events, the last %+v", len(events), events[len(events)-1])
	}
	if len(minutes) != keptMinutes || minutes[0].Failed != 1 {
		t.Errorf("got %d minutes", len(minutes))
	}
	if minutes, _ := h.snapshot(at.Add(24 * time.Hour)); len(minutes) != 0 {
		t.Errorf("a day later: got %+v", minutes)
	}
}
