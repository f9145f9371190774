package entraredis

import (
	"log/slog"
	"sync"
	"time"
)

// EventType says what an [Event] is about.
type EventType string

// What a Source and the connections of a Dialer report.
const (
	EventRefreshed         EventType = "refreshed"          // a new token is held
	EventUnchanged         EventType = "unchanged"          // a refresh returned the token that is held already
	EventRefreshFailed     EventType = "refresh-failed"     // an acquisition failed; it will be tried again
	EventReauthenticated   EventType = "reauthenticated"    // a connection was re-authenticated with a new token; with the reason "handover", by another one in its place
	EventReauthRefused     EventType = "reauth-refused"     // Redis refused a re-AUTH; the connection keeps its old token
	EventReauthDeferred    EventType = "reauth-deferred"    // the connection's state does not allow AUTH now
	EventHandoverFailed    EventType = "handover-failed"    // a RESP2 subscriber could not be handed over to another connection; it will be tried again
	EventConnectionExpired EventType = "connection-expired" // a connection's token ended before it could be re-authenticated
)

// Event is one thing that happened in the background. Fields that do not
// apply are zero. It never holds a token.
type Event struct {
	Type       EventType
	Time       time.Time
	Username   string
	ExpiresOn  time.Time // of the token the event is about, or of the one still held
	RemoteAddr string    // for events of a connection
	Reason     string    // a Kind, why a re-AUTH was deferred, or at which step a handover failed
	Err        error
}

const maxQueuedEvents = 4096

// events hands events to one function, in order and one at a time, from a
// goroutine that lives only while there are some.
type events struct {
	fn  func(Event)
	log *slog.Logger

	mu      sync.Mutex // guards the rest; not held while fn runs
	queue   []Event
	running bool
	closed  bool
	dropped int
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	if len(e.queue) >= maxQueuedEvents {
		// The newest events say most about the present state.
		e.queue = append(e.queue[:0], e.queue[1:]...)
		e.dropped++
	}
	e.queue = append(e.queue, ev)
	if !e.running {
		e.running = true
		go e.deliver()
	}
}

func (e *events) deliver() {
	for {
		e.mu.Lock()
		if len(e.queue) == 0 || e.closed {
			e.queue, e.running = nil, false
			e.mu.Unlock()
			return
		}
		batch, dropped := e.queue, e.dropped
		e.queue, e.dropped = nil, 0
		e.mu.Unlock()
		if dropped > 0 {
			e.log.Warn("events dropped because OnEvent is slow", "count", dropped)
		}
		for _, ev := range batch {
			e.fn(ev)
		}
	}
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// emit passes an event to Options.OnEvent, without waiting for it.
func (s *Source) emit(ev Event) {
	if s.events.fn == nil {
		return
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	s.events.add(ev)
}
