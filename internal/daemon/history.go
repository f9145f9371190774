package daemon

import (
	"sync"
	"time"

	"github.com/entraredis/entraredis"
)

const (
	keptMinutes = 90 // the life of a token, at most, of a user or an application
	keptEvents  = 24
)

// Minute counts what happened to tokens and connections within one.
type Minute struct {
	Start     time.Time
	Refreshed int // tokens
	Failed    int // refreshes
	Reauths   int // accepted, and subscribers handed over
	Refused   int // re-AUTHs
	Deferred  int // re-AUTHs
	Expired   int // connections that ended with their token
	Unmoved   int // tries to hand a subscriber over that failed
}

// Event is one thing that happened, or the same thing many times in a row.
type Event struct {
	Type        entraredis.EventType
	First, Last time.Time
	Count       int
	Reason      string
	Error       string // of the last
}

// history keeps what a person wants to see of the last ninety minutes, in
// bounded memory whatever happens.
type history struct {
	mu      sync.Mutex // guards the rest
	minutes []Minute   // oldest first; only those in which something happened
	events  []Event    // oldest first
}

func (h *history) add(e entraredis.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start := e.Time.Truncate(time.Minute)
	// A clock that was set back counts on in the newest minute.
	if n := len(h.minutes); n == 0 || h.minutes[n-1].Start.Before(start) {
		h.minutes = append(h.minutes, Minute{Start: start})
	}
	h.minutes = h.minutes[max(0, len(h.minutes)-keptMinutes):]
	m := &h.minutes[len(h.minutes)-1]
	switch e.Type {
	case entraredis.EventRefreshed:
		m.Refreshed++
	case entraredis.EventRefreshFailed:
		m.Failed++
	case entraredis.EventReauthenticated:
		m.Reauths++
	case entraredis.EventReauthRefused:
		m.Refused++
	case entraredis.EventReauthDeferred:
		m.Deferred++
	case entraredis.EventConnectionExpired:
		m.Expired++
	case entraredis.EventHandoverFailed:
		m.Unmoved++
	}
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	// A thousand connections re-AUTH within minutes: what is alike is one
	// entry, also where two kinds of it alternate.
	for i := len(h.events) - 1; i >= max(0, len(h.events)-4); i-- {
		if old := &h.events[i]; old.Type == e.Type && old.Reason == e.Reason && e.Time.Sub(old.First) < time.Hour {
			old.Count++
			old.Last, old.Error = e.Time, text
			return
		}
	}
	h.events = append(h.events, Event{Type: e.Type, First: e.Time, Last: e.Time, Count: 1, Reason: e.Reason, Error: text})
	h.events = h.events[max(0, len(h.events)-keptEvents):]
}

// snapshot returns copies: the minutes of the last ninety, and the events.
func (h *history) snapshot(now time.Time) ([]Minute, []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := 0
	for old < len(h.minutes) && now.Sub(h.minutes[old].Start) > keptMinutes*time.Minute {
		old++
	}
	return append([]Minute(nil), h.minutes[old:]...), append([]Event(nil), h.events...)
}
