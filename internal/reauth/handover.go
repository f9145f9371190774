package reauth

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/entraredis/entraredis/internal/resp"
)

// A RESP2 subscriber whose upstream cannot speak RESP3 is handed over to
// another connection. This file knows what that one has to be given: what the
// client has set, and the names of what it is subscribed to. What cannot be
// given to another connection pins this one.

const (
	// maxNames bounds the names of the subscriptions of a connection that can
	// be handed over, in bytes, and maxSubscriptions how many they are.
	maxNames         = 1 << 20
	maxSubscriptions = 1 << 16

	// maxSetting bounds a command that sets something, in bytes.
	maxSetting = 4 << 10

	// maxBatch is how many names go into one command that subscribes.
	maxBatch = 500
)

// invalidations is the channel on which a RESP2 client gets what other
// connections redirect to this one by its ID.
const invalidations = "__redis__:invalidate"

// setting is a command that changes something about the connection. Of those
// with the same key the last one counts.
type setting struct {
	key     string
	command []byte
}

// Keys of commands that are no settings but do the following.
const (
	pins      = ""
	watches   = "WATCH"
	unwatches = "UNWATCH"
)

// standing is what the replies say that the client has set and subscribed.
type standing struct {
	settings []setting
	asked    []setting            // sent and not answered, oldest first
	names    [3]map[string]uint64 // by family: when the subscription began
	size     int                  // bytes of names
	serial   uint64               // of the last subscription
	unnamed  bool                 // of some that stand the name is not known
}

// forget drops the names.
func (s *standing) forget() {
	s.names, s.size, s.unnamed = [3]map[string]uint64{}, 0, false
}

// pin gives up, for good, being able to hand the connection over.
func (t *Tracker) pin() { t.pinned, t.stands = true, nil }

func (t *Tracker) standing() *standing {
	if t.stands == nil {
		t.stands = &standing{}
	}
	return t.stands
}

// remember looks at the command that ends at b[end] and, if all of it is in b,
// begins at b[start], and returns the entry that its reply is to be read for.
func (t *Tracker) remember(e entry, b []byte, start, end int) entry {
	switch e.kind {
	case replyOff, replyOn, replySkip, monitor:
		t.pin()
	case settingCommand:
		return t.rememberSetting(b, start, end)
	}
	return e
}

func (t *Tracker) rememberSetting(b []byte, start, end int) entry {
	unread := entry{kind: plain, n: 1}
	key := t.settingKey()
	switch {
	case t.pinned:
		return unread
	case t.multi || t.off || t.skipNext:
		// What becomes of it is in EXEC's reply, or nowhere. (Nothing is left
		// watched behind EXEC, and in doubt what was watched still is.)
		if key != unwatches {
			t.pin()
		}
		return unread
	}
	s := setting{key: key}
	switch {
	case key == pins || key == watches || key == unwatches:
	case start < 0 || end-start > maxSetting:
		s.key = pins
	default:
		s.command = bytes.Clone(b[start:end])
	}
	st := t.standing()
	st.asked = append(st.asked, s)
	return entry{kind: settingCommand}
}

func (t *Tracker) settingKey() string {
	switch string(t.requests.Name()) {
	case "SELECT":
		return "SELECT"
	case "READONLY", "READWRITE":
		return "READONLY"
	case "WATCH":
		return watches
	case "UNWATCH":
		return unwatches
	case "CLIENT":
		switch {
		case t.usesClient("SETNAME"):
			return "SETNAME"
		case t.usesClient("SETINFO"):
			return "SETINFO " + string(bytes.ToUpper(t.requests.Arg(2)))
		}
	}
	return pins
}

// tells reports whether a CLIENT subcommand only tells something, and nothing
// that is of this connection alone: its ID is not the next one's.
func (t *Tracker) tells() bool {
	return t.usesClient("GETNAME") || t.usesClient("LIST") || t.usesClient("INFO")
}

// took records what the reply to a command says about what stands.
func (t *Tracker) took(e entry, ok bool) {
	switch e.kind {
	case settingCommand:
		if st := t.stands; st != nil && len(st.asked) > 0 {
			s := st.asked[0]
			if st.asked = st.asked[1:]; len(st.asked) == 0 {
				st.asked = nil
			}
			if ok {
				t.set(s)
			}
		}
	case hello:
		if ok && !e.bare {
			t.pin() // it may have set a name, a user
		}
	case exec, discard:
		if t.seenMulti && (ok || endsTransaction(t.replies.Line())) {
			t.watching = false
		}
	case reset:
		if ok {
			t.watching = false
			if t.stands != nil {
				t.stands.settings = nil
				t.stands.forget()
			}
		}
	}
}

func (t *Tracker) set(s setting) {
	switch s.key {
	case pins:
		t.pin()
	case watches:
		t.watching = true
	case unwatches:
		t.watching = false
	default:
		st := t.stands
		i := slices.IndexFunc(st.settings, func(o setting) bool { return o.key == s.key })
		if i < 0 {
			st.settings = append(st.settings, s)
		} else {
			st.settings[i] = s
		}
	}
}

// notes reports whether the frame that begins with c may be the confirmation
// of a subscription whose name is to be kept.
func (t *Tracker) notes(c byte) bool {
	return (c == '*' && t.seenProto == 2 || c == '>') && !t.pinned && (t.seenSubs.any() || t.queue.awaits(subscribe, unsubscribe))
}

// note takes the next piece of such a frame. One that comes in one piece is
// only borrowed.
func (t *Tracker) note(b []byte, done bool) {
	switch {
	case done && t.frame == nil:
		t.frame = b
	case len(t.frame)+len(b) > maxNames || bytes.HasSuffix(t.replies.First(), []byte("message")):
		t.noting, t.frame = false, nil
	default:
		t.frame = append(t.frame, b...)
	}
}

// named keeps the name in a confirmation that has just been counted.
func (t *Tracker) named(f family, ends bool) {
	switch {
	case t.pinned:
		return
	case !t.seenSubs.any():
		if t.stands != nil {
			t.stands.forget()
		}
		return
	}
	st := t.standing()
	parts, ok := cutArray(t.frame)
	if !ok || len(parts) < 2 {
		st.unnamed = true
		return
	}
	name := string(parts[1])
	if _, stood := st.names[f][name]; stood != ends {
		return
	}
	if ends {
		delete(st.names[f], name)
		st.size -= len(name)
		return
	}
	if st.size += len(name); st.size > maxNames || len(st.names[channels])+len(st.names[patterns])+len(st.names[shards]) >= maxSubscriptions {
		st.forget()
		st.unnamed = true
	}
	if st.unnamed {
		return
	}
	if st.names[f] == nil {
		st.names[f] = map[string]uint64{}
	}
	st.serial++
	st.names[f][name] = st.serial
}

// Movable reports whether the connection is a subscriber to which AUTH is
// refused, and all that is set and subscribed on it can be given to another.
func (t *Tracker) Movable() bool {
	if t.pinned || t.watching || t.seenProto != 2 || t.clientProto != 2 || t.seenMulti || t.off || t.monitors() ||
		!t.seenSubs.any() || t.Deferred() != Subscribed || t.stands == nil || !t.allNamed() {
		return false
	}
	_, redirected := t.stands.names[channels][invalidations]
	return !redirected
}

// Restorable reports whether nothing is due to the client and nothing under
// way, and all that is set and subscribed on the connection can be given to
// another, so that the client need not notice if this one has ended.
func (t *Tracker) Restorable() bool {
	if t.stopped != None || t.pinned || t.watching || t.multi || t.seenMulti || t.off || t.skipNext || t.prefixed || t.tracking ||
		t.monitors() || t.clientAuth || t.ownAuth > 0 || t.subOpen > 0 || t.hello > 0 || t.block != nil || t.raw || len(t.held) > 0 ||
		!t.requests.AtBoundary() || !t.replies.AtBoundary() {
		return false
	}
	for i := range t.queue.len {
		// Of a command behind CLIENT REPLY SKIP too nobody knows whether it ran.
		if e := t.queue.at(i); e.kind != auth && e.kind != authUnseen || e.answer != nothing {
			return false
		}
	}
	if t.stands == nil {
		return !t.seenSubs.any()
	}
	return len(t.stands.asked) == 0 && t.allNamed()
}

// allNamed reports whether the names of all subscriptions are known.
func (t *Tracker) allNamed() bool {
	if t.stands.unnamed {
		return false
	}
	for f, names := range t.stands.names {
		if int64(len(names)) != t.seenSubs.count[f] {
			return false
		}
	}
	return true
}

// Protocol is the RESP version that the client expects.
func (t *Tracker) Protocol() int { return t.clientProto }

// Settled reports whether the connection is Movable, and nothing is due on it.
func (t *Tracker) Settled() bool { return t.queue.empty() && t.Movable() }

// ToBoundary returns how many bytes of b belong to the reply that has begun:
// none between two.
func (t *Tracker) ToBoundary(b []byte) int {
	if t.replies.AtBoundary() {
		return 0
	}
	ahead := t.replies // it holds no pointer
	n, _, _ := ahead.Next(b)
	return n
}

// BetweenReplies reports whether all replies that have begun have ended.
func (t *Tracker) BetweenReplies() bool { return t.replies.AtBoundary() }

// Standing is what another connection has to be given to take this one's
// place. It does not change.
type Standing struct {
	settings []setting
	names    [3][]subscription // oldest first: Redis 6.0 looks through patterns in that order
}

type subscription struct {
	name  string
	since uint64
}

// Standing returns what stands on a connection that is Movable or Restorable.
func (t *Tracker) Standing() *Standing {
	if t.stands == nil {
		return &Standing{}
	}
	s := &Standing{settings: slices.Clone(t.stands.settings)}
	for f, names := range t.stands.names {
		for name, since := range names {
			s.names[f] = append(s.names[f], subscription{name, since})
		}
		slices.SortFunc(s.names[f], func(a, b subscription) int { return cmp.Compare(a.since, b.since) })
	}
	return s
}

// Count is how many channels and patterns are subscribed, as the confirmation
// of another one counts them.
func (s *Standing) Count() int { return len(s.names[channels]) + len(s.names[patterns]) }

// Patterns reports whether there are any.
func (s *Standing) Patterns() bool { return len(s.names[patterns]) > 0 }

// SameSettings reports whether two differ at most in their subscriptions.
func (s *Standing) SameSettings(o *Standing) bool {
	return slices.EqualFunc(s.settings, o.settings, func(a, b setting) bool { return bytes.Equal(a.command, b.command) })
}

// Settings are the commands that set what is set.
func (s *Standing) Settings() (commands [][]byte) {
	for _, o := range s.settings {
		commands = append(commands, o.command)
	}
	return commands
}

// Subscribe is a command that changes subscriptions, and its confirmations.
type Subscribe struct {
	Command  []byte
	Confirms string // what each confirmation begins with, such as "psubscribe"
	Count    int    // of confirmations
}

// Since returns the commands that bring a connection which has the
// subscriptions of o (nil: none) to those of s.
func (s *Standing) Since(o *Standing) (commands []Subscribe) {
	if o == nil {
		o = &Standing{}
	}
	for f, verb := range []string{"subscribe", "psubscribe", "ssubscribe"} {
		batch := maxBatch
		if family(f) == shards {
			batch = 1 // a cluster refuses names of several slots in one command
		}
		for _, part := range []struct {
			verb  string
			names []string
		}{
			{verb[:len(verb)-len("subscribe")] + "unsubscribe", without(o.names[f], s.names[f])},
			{verb, without(s.names[f], o.names[f])},
		} {
			for names := range slices.Chunk(part.names, batch) {
				commands = append(commands, Subscribe{
					Command:  resp.AppendCommand(nil, append([]string{part.verb}, names...)...),
					Confirms: part.verb,
					Count:    len(names),
				})
			}
		}
	}
	return commands
}

// without returns the names of those in a that are not in b.
func without(a, b []subscription) (names []string) {
	in := make(map[subscription]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	for _, s := range a {
		if !in[s] {
			names = append(names, s.name)
		}
	}
	return names
}

// cutArray returns the elements of a whole array or push of bulk strings and
// integers, as they are in b; ok is false if it is none. A null is nil.
func cutArray(b []byte) (parts [][]byte, ok bool) {
	header, rest, ok := cutHeader(b, '*')
	if !ok {
		header, rest, ok = cutHeader(b, '>')
	}
	n, err := strconv.Atoi(string(header))
	if !ok || err != nil || n < 0 || n > 4 {
		return nil, false
	}
	for range n {
		if text, after, ok := cutHeader(rest, ':'); ok {
			parts, rest = append(parts, text), after
			continue
		}
		text, after, ok := cutHeader(rest, '$')
		size, err := strconv.Atoi(string(text))
		switch {
		case !ok || err != nil || len(after) < size+2:
			return nil, false
		case size < 0:
			parts, rest = append(parts, nil), after
		default:
			parts, rest = append(parts, after[:size]), after[size+2:]
		}
	}
	return parts, len(rest) == 0
}

func cutHeader(b []byte, kind byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return nil, nil, false
	}
	return bytes.Cut(b[1:], []byte("\r\n"))
}
