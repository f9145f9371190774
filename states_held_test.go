package entraredis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/resp"
)

// held is one state of TestStates being held.
type held struct {
	*testing.T
	*world
	source *entraredis.Source
	dialer *entraredis.Dialer
	over   chan struct{} // closed when it has been held long enough
	gaveUp chan struct{} // closed when something that must come has not come long after that
	tick   *time.Ticker

	mu      sync.Mutex // guards the rest
	events  []entraredis.Event
	changed chan struct{} // closed and replaced at each event
	log     bytes.Buffer
	conns   []net.Conn
}

func newHeld(t *testing.T, w *world) *held {
	h := &held{T: t, world: w, over: make(chan struct{}), gaveUp: make(chan struct{}), changed: make(chan struct{})}
	credential := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		token, expires := h.mint(0)
		return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
	}}
	source, err := entraredis.New(credential, &entraredis.Options{
		Logger:  slog.New(slog.NewTextHandler(lockedLog{h}, nil)),
		OnEvent: h.event,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.source = source
	h.dialer = &entraredis.Dialer{Source: source}
	h.tick = time.NewTicker(w.life() / 40)
	held := time.AfterFunc(w.span(), func() { close(h.over) })
	vain := time.AfterFunc(w.span()+10*w.longest(), func() {
		close(h.gaveUp)
		h.closeAll()
	})
	t.Cleanup(func() {
		h.closeAll()
		source.Close()
		h.tick.Stop()
		held.Stop()
		vain.Stop()
	})
	return h
}

// mint signs a token of the app's that lives more seconds longer than usual.
func (h *held) mint(more int64) (token string, expires time.Time) {
	token = h.em.Mint("app", func(claims map[string]any) {
		claims["uti"] = fmt.Sprint(serial.Add(1))
		end := claims["exp"].(int64) + more
		claims["exp"], expires = end, time.Unix(end, 0)
	})
	return token, expires
}

type lockedLog struct{ h *held }

func (l lockedLog) Write(p []byte) (int, error) {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	return l.h.log.Write(p)
}

func (h *held) event(ev entraredis.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, ev)
	close(h.changed)
	h.changed = make(chan struct{})
}

// of returns the events of a type.
func (h *held) of(typ entraredis.EventType) (evs []entraredis.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if ev.Type == typ {
			evs = append(evs, ev)
		}
	}
	return evs
}

// await returns the first event of a type and reason, which may still be on
// its way.
func (h *held) await(typ entraredis.EventType, reason string) entraredis.Event {
	h.Helper()
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		for _, ev := range h.of(typ) {
			if ev.Reason == reason {
				return ev
			}
		}
		select {
		case <-changed:
		case <-h.gaveUp:
			h.Fatalf("no event %s with reason %q among %v", typ, reason, h.of(typ))
		}
	}
}

// said is the log so far.
func (h *held) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// logged reports whether a line of the log holds all of the words.
func (h *held) logged(words ...string) bool {
lines:
	for line := range strings.Lines(h.said()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return true
	}
	return false
}

// rest waits a fortieth of a token's life and reports whether the state is to
// be held on.
func (h *held) rest() bool {
	select {
	case <-h.over:
		return false
	case <-h.Context().Done():
		return false // the test has failed
	case <-h.tick.C:
		return true
	}
}

func (h *held) closes(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
}

func (h *held) closeAll() {
	h.mu.Lock()
	conns := h.conns
	h.conns = nil
	h.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// subject is a connection of the Dialer's.
type subject struct {
	*link
	h  *held
	id uint64 // the emulator's
}

func (h *held) dial() *subject {
	h.Helper()
	d := h.dialer
	if h.virtual {
		d.Plaintext = true
		d.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) { return h.em.Dial(ctx) }
	} else {
		d.TLSConfig = h.em.TLSConfig()
	}
	c, err := d.DialContext(h.Context(), "tcp", h.em.RedisAddr())
	if err != nil {
		h.Fatal(err)
	}
	h.closes(c)
	s := &subject{link: &link{T: h.T, Conn: c, r: resp.NewReader(c)}, h: h}
	for _, i := range h.em.Connections() { // oldest first
		if h.virtual || i.RemoteAddr == c.LocalAddr().String() {
			s.id = i.ID
		}
	}
	return s
}

// reauths is how often the emulator has accepted an AUTH on this connection
// since it was dialed.
func (s *subject) reauths() int {
	s.Helper()
	for _, i := range s.h.em.Connections() {
		if i.ID == s.id {
			return int(i.AuthCount) - 1
		}
	}
	s.Error("the emulator no longer has this connection")
	return 0
}

// outlived fails the test if the connection was not re-authenticated about as
// often as a token ended.
func (s *subject) outlived() {
	s.Helper()
	if got, want := s.reauths(), *lifetimes-2; got < want {
		s.Errorf("%d re-AUTHs in %d lifetimes, want at least %d; deferred: %v", got, *lifetimes, want, s.h.dialer.Stats().Deferred)
	}
}

// ends expects the end of the connection with nothing before it.
func (s *subject) ends() {
	s.Helper()
	if f, err := s.r.ReadFrame(); !errors.Is(err, io.EOF) {
		s.Fatalf("got %q, %v, want the end of the connection", f, err)
	}
}

// expired expects that the end of the connection has been accounted for.
func (h *held) expired(reason string) entraredis.Event {
	h.Helper()
	ev := h.await(entraredis.EventConnectionExpired, reason)
	if got := h.dialer.Stats().Expired; got != 1 {
		h.Errorf("Stats().Expired is %d, want 1", got)
	}
	if !h.logged(`msg="connection ended with its token"`, "reason="+reason+" ") {
		h.Errorf("no log line with reason %q in\n%s", reason, h.said())
	}
	return ev
}
