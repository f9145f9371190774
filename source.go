package entraredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// ErrClosed is returned by a Source after Close.
var ErrClosed = errors.New("entraredis: source is closed")

// maxAbandoned bounds the calls of a credential that did not come back in
// time and may never do.
const maxAbandoned = 8

// wallCheckEvery is how much monotonic time may pass between two looks at the
// wall clock on the cached path: reading it costs twice as much as reading
// the monotonic clock, and a clock that was set may go unnoticed that long.
const wallCheckEvery = time.Millisecond

// Source holds a valid access token at any moment it can, and says when there
// is a new one. Its methods are safe for concurrent use. It starts working,
// in the background, with the first call of Token, Credentials or Subscribe;
// Close ends it.
type Source struct {
	credential azcore.TokenCredential
	options    Options
	log        *slog.Logger
	clock      clock
	events     events
	subs       subscribers

	life context.Context // ends with Close; acquisitions run under it, not under a caller's context
	end  context.CancelFunc
	wake chan struct{} // asks the loop to look at the clocks again

	newest     atomic.Pointer[held] // the newest token, valid or not; nil before the first
	closed     atomic.Bool
	wallLooked atomic.Int64 // monotonic time of the cached path's last look at the wall clock
	nextWall   atomic.Int64 // next.wall in Unix nanoseconds, for the cached path

	mu        sync.Mutex // guards the rest; never held across I/O, callbacks or logging
	started   bool
	inFlight  *attempt
	lastStart time.Duration // monotonic; of the latest acquisition
	next      instant       // when the loop asks again
	short     bool          // the latest acquisition's time was cut short
	failed    int           // failures in a row
	failedAt  time.Duration // monotonic; of the latest failure
	same      int           // unchanged refreshes in a row
	abandoned int           // calls given up that have not returned
	status    Status
}

// held is a token with the times that matter on both clocks. It is immutable.
type held struct {
	token   Token
	lease   lease
	expires instant
}

func (h *held) life() time.Duration {
	if h == nil {
		return 0
	}
	return h.lease.life()
}

// attempt is one acquisition that any number of callers may wait for. result
// and err are set before done is closed.
type attempt struct {
	done    chan struct{}
	short   bool // its time was bounded by a held token's remaining life
	settled bool // guarded by Source.mu
	result  *held
	err     error
}

// New returns a Source of tokens from the credential. Nil options mean the
// defaults. It does no I/O: the first token is acquired when it is first
// needed. The error says which argument or option is wrong.
func New(credential azcore.TokenCredential, options *Options) (*Source, error) {
	if credential == nil {
		return nil, errors.New("entraredis: credential is nil")
	}
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	return &Source{
		credential: credential,
		options:    o,
		log:        o.Logger,
		clock:      newClock(),
		events:     events{fn: o.OnEvent, log: o.Logger},
		life:       life,
		end:        end,
		wake:       make(chan struct{}, 1),
	}, nil
}

// Token returns a token that is valid by both clocks of this machine. While
// one is held it returns at once, even if ctx is done. Otherwise it waits for
// an acquisition, shared with all other callers, and returns its *[TokenError]
// if it fails; a failure less than a second old is returned without asking
// the issuer again. A ctx that ends first makes the error wrap ctx.Err().
// After Close the error is [ErrClosed].
func (s *Source) Token(ctx context.Context) (Token, error) {
	if h := s.newest.Load(); h != nil && !s.closed.Load() {
		mono := s.clock.mono()
		if mono < h.expires.mono && (mono-time.Duration(s.wallLooked.Load()) < wallCheckEvery || s.lookAtWall(h)) {
			return h.token, nil
		}
	}
	return s.wait(ctx)
}

// Credentials is Token as a username and a password. Its type is that of
// go-redis's Options.CredentialsProviderContext.
func (s *Source) Credentials(ctx context.Context) (username, password string, err error) {
	t, err := s.Token(ctx)
	return t.Username, t.Password(), err
}

// Subscribe has fn called with each new token from now on. It is not called
// for the token already held (call Token after Subscribe for that one), nor
// for a refresh that returned an unchanged one. Calls of one fn never overlap;
// an fn that is slow misses all tokens but the newest, and delays neither the
// Source nor another subscriber. An fn that panics ends the program, as in
// any goroutine.
//
// unsubscribe may be called any number of times, from anywhere, fn included:
// no call of fn begins after it has returned. After Close fn is never called.
func (s *Source) Subscribe(fn func(Token)) (unsubscribe func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unsubscribe = s.subs.add(fn)
	s.start()
	return unsubscribe
}

// Status is what a Source has been doing.
type Status struct {
	Username    string    // of the newest token
	ExpiresOn   time.Time // of the newest token; zero before the first
	LastRefresh time.Time // when the newest token was received
	NextAttempt time.Time // when the issuer is asked again; in the past while an acquisition runs
	LastError   error     // of the latest acquisition; nil if it succeeded
	Refreshes   uint64    // acquisitions that brought a new token
	Failures    uint64    // acquisitions that brought none
	Unchanged   uint64    // acquisitions that brought the token already held

	// Failed is Failures by kind.
	Failed map[Kind]uint64
}

// Status returns a snapshot.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Failed = maps.Clone(st.Failed)
	return st
}

// Close ends refreshing, releases all waiting callers with [ErrClosed], and
// forgets the subscribers. It returns at once, always nil, and may be called
// again: calls of the credential are cancelled and calls of subscribers left
// to finish, not waited for.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed.Store(true)
	s.mu.Unlock()
	s.end()
	s.subs.close()
	s.events.close()
	return nil
}

// current returns the newest token without waiting; it may have expired. ok
// is false before the first.
func (s *Source) current() (t Token, ok bool) {
	h := s.newest.Load()
	if h == nil {
		return Token{}, false
	}
	return h.token, true
}

// lookAtWall reports whether h is valid by the wall clock too, which goes on
// while the machine is suspended and may be set. It wakes the loop when the
// wall clock has reached the next attempt and no timer has noticed.
func (s *Source) lookAtWall(h *held) bool {
	now := s.clock.now()
	s.wallLooked.Store(int64(now.mono))
	if now.wall.UnixNano() >= s.nextWall.Load() {
		s.kick()
	}
	return now.wall.Before(h.expires.wall)
}

func (s *Source) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// wait is Token without a valid token at hand.
func (s *Source) wait(ctx context.Context) (Token, error) {
	for again := false; ; again = true {
		a, t, err := s.join(ctx, again)
		if a == nil {
			return t, err
		}
		select {
		case <-a.done:
		case <-s.life.Done():
			return Token{}, ErrClosed
		case <-ctx.Done():
			if last := s.Status().LastError; last != nil {
				return Token{}, fmt.Errorf("entraredis: wait for an access token: %w (last attempt: %w)", ctx.Err(), last)
			}
			return Token{}, fmt.Errorf("entraredis: wait for an access token: %w", ctx.Err())
		}
		if a.err == nil {
			// Not looked at again: asking anew for a token that lived shorter
			// than the wake-up of this goroutine would not end.
			return a.result.token, nil
		}
		// An attempt that began while a token was held was cut short for the
		// sake of that token. One that is not is worth this caller's patience.
		if again || !a.short {
			return Token{}, a.err
		}
	}
}

// join returns the attempt to wait for, or else what Token returns. A caller
// that comes again is not put off with a failure it has waited for already.
func (s *Source) join(ctx context.Context, again bool) (*attempt, Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return nil, Token{}, ErrClosed
	}
	now := s.clock.now()
	h := s.newest.Load()
	if h != nil && !now.reached(h.expires) {
		return nil, h.token, nil
	}
	if ctx.Err() != nil {
		return nil, Token{}, fmt.Errorf("entraredis: wait for an access token: %w", ctx.Err())
	}
	s.start()
	if s.inFlight != nil {
		return s.inFlight, Token{}, nil
	}
	// A crowd of callers must not become a crowd of requests to an issuer
	// that has just refused one.
	if !again && !s.short && s.failed > 0 && now.mono-s.failedAt < callerPause(h.life()) {
		return nil, Token{}, s.status.LastError
	}
	return s.begin(now), Token{}, nil
}

// callerPause is how long a failure answers callers that arrive after it.
func callerPause(life time.Duration) time.Duration {
	if life == 0 {
		return time.Second
	}
	return floor(life)
}

// start starts the loop once. s.mu is held.
func (s *Source) start() {
	if s.started || s.closed.Load() {
		return
	}
	s.started = true
	s.lastStart = -minGap
	s.begin(s.clock.now())
	go s.loop()
}

// loop begins acquisitions when they are due, until Close.
func (s *Source) loop() {
	timer := time.NewTimer(maxSleep)
	defer timer.Stop()
	for {
		s.mu.Lock()
		now, running := s.clock.now(), s.inFlight
		if running == nil && now.reached(s.next) {
			running = s.begin(now)
		}
		wait := min(now.until(s.next), maxSleep)
		s.mu.Unlock()

		if running != nil {
			select {
			case <-running.done:
				continue
			case <-s.life.Done():
				return
			}
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.life.Done():
			return
		}
	}
}
