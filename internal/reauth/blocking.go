package reauth

import (
	"bytes"
	"strconv"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// While a client is blocked Redis reads no AUTH. So a command that would block
// for longer than the token lasts is sent with a shorter time-out. The nil that
// ends it early is not the client's: behind it an AUTH can go out, and then the
// command is sent again with what remains of the client's own time-out. In
// between the client's later bytes wait, for to Redis they stand behind it.

// maxHolding bounds the commands that are held until they are complete, in
// bytes, so that they can be changed.
const maxHolding = 16 << 10

// shortest is the least time-out that is sent: Redis counts in milliseconds,
// and 0 is for ever.
const shortest = time.Millisecond

// timeouts says which argument of a command is its time-out (-1: the last) and
// in what unit. XREAD and XREADGROUP have it behind BLOCK.
var timeouts = map[string]struct {
	at   int
	unit time.Duration
}{
	"BLPOP":      {-1, time.Second},
	"BRPOP":      {-1, time.Second},
	"BLMOVE":     {-1, time.Second},
	"BRPOPLPUSH": {-1, time.Second},
	"BZPOPMIN":   {-1, time.Second},
	"BZPOPMAX":   {-1, time.Second},
	"BLMPOP":     {1, time.Second},
	"BZMPOP":     {1, time.Second},
	"WAIT":       {-1, time.Millisecond},
	"WAITAOF":    {-1, time.Millisecond},
	"XREAD":      {0, time.Millisecond},
	"XREADGROUP": {0, time.Millisecond},
}

// block is a blocking command whose time-out is shortened.
type block struct {
	original []byte
	args     [][]byte
	timeout  int           // index of the time-out in args
	unit     time.Duration // of the time-out
	until    time.Time     // the end of the client's time-out; zero: none
	state    blockState
	early    time.Time  // a nil from here on comes from the time-out that was sent
	last     bool       // what was sent is all that remained
	keys     int        // of XREAD
	lookups  []int      // the "$" in args whose IDs have not come
	lookedUp blockState // behind the last of them
}

type blockState uint8

const (
	ready   blockState = iota // is to be sent next
	asIs                      // the same, as the client wrote it
	unready                   // the IDs that "$" stand for are to be asked for next
	lookingUp
	sent
)

// shortens reports whether blocking commands are to be looked at: not where
// they do not block (MULTI), or where their reply cannot be told for certain.
func (t *Tracker) shortens() bool {
	return t.Block != nil && !t.multi && !t.off && !t.skipNext && !t.prefixed && !t.monitors() &&
		!t.clientAuth && t.ownAuth == 0 && !t.subscribedRESP2()
}

// awaitsTimeout reports whether the command that has begun, so many bytes of
// it, is to be held until it is complete.
func (t *Tracker) awaitsTimeout(size int) bool {
	if size > maxHolding || !t.shortens() {
		return false
	}
	_, ok := timeouts[string(t.requests.Name())]
	return ok
}

// shorten reports whether the complete blocking command in raw would outlast
// the token. If so it is taken over.
func (t *Tracker) shorten(raw []byte) bool {
	if len(raw) > maxHolding || !t.shortens() {
		return false
	}
	where, ok := timeouts[string(t.requests.Name())]
	if !ok {
		return false
	}
	args, err := resp.NewReader(bytes.NewReader(raw)).ReadCommand()
	if err != nil {
		return false
	}
	b := &block{original: bytes.Clone(raw), unit: where.unit, state: ready}
	for _, a := range args {
		b.args = append(b.args, bytes.Clone(a))
	}
	switch {
	case where.at < 0:
		b.timeout = len(args) - 1
	case where.at > 0:
		b.timeout = where.at
	case !b.streams() || b.state == unready && t.tracking:
		return false // a look at the stream would be tracked
	}
	if b.timeout <= 0 || b.timeout >= len(args) {
		return false
	}
	d, ok := parseTimeout(args[b.timeout], b.unit)
	now, longest := t.Block()
	if !ok || d > 0 && d <= longest {
		return false
	}
	if d > 0 {
		b.until = now.Add(d)
	}
	t.block = b
	return true
}

// parseTimeout reads a time-out as Redis does, but only in its plain forms:
// what it does not know goes out as it is.
func parseTimeout(b []byte, unit time.Duration) (time.Duration, bool) {
	whole, fraction, dot := bytes.Cut(b, []byte("."))
	switch {
	case !isNumber(whole) || len(b) > 12: // whatever is longer is as good as endless, and close to out of range
		return 0, false
	case unit == time.Second:
		if dot && !isNumber(fraction) {
			return 0, false
		}
	case dot || len(whole) > 1 && whole[0] == '0':
		return 0, false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	d := f * float64(unit)
	if err != nil || d > float64(100*365*24*time.Hour) {
		return 0, false
	}
	if d > 0 {
		d = max(d, float64(shortest))
	}
	return time.Duration(d), true
}

// streams finds the time-out of an XREAD or XREADGROUP, and the IDs to look
// up. It reports whether the command is one that Redis takes.
func (b *block) streams() bool {
	isRead := len(b.args[0]) == len("XREAD")
	for i := 1; i < len(b.args); i++ {
		switch arg := b.args[i]; {
		case bytes.EqualFold(arg, []byte("BLOCK")):
			if b.timeout != 0 {
				return false
			}
			i++
			b.timeout = i
		case bytes.EqualFold(arg, []byte("COUNT")):
			i++
		case !isRead && bytes.EqualFold(arg, []byte("GROUP")):
			i += 2
		case !isRead && bytes.EqualFold(arg, []byte("NOACK")):
		case bytes.EqualFold(arg, []byte("STREAMS")):
			rest := len(b.args) - i - 1
			b.keys = rest / 2
			for id := i + 1 + b.keys; isRead && id < len(b.args); id++ {
				if string(b.args[id]) == "$" {
					b.lookups, b.state = append(b.lookups, id), unready
				}
			}
			return b.timeout != 0 && rest > 0 && rest%2 == 0
		default:
			return false
		}
	}
	return false
}

// pending reports whether something is to be sent for the block.
func (b *block) pending() bool { return b.state < lookingUp }

// insert returns what is to be sent next for a block that is pending.
func (t *Tracker) insert() []byte {
	b := t.block
	switch b.state {
	case unready:
		b.state = lookingUp
		var out []byte
		for _, id := range b.lookups {
			// The last entry that exists is as good as the last that ever was:
			// between the two there is nothing to read.
			out = resp.AppendCommand(out, "XREVRANGE", string(b.args[id-b.keys]), "+", "-", "COUNT", "1")
			t.queue.push(entry{kind: lookup})
		}
		return out
	case asIs:
		t.block = nil
		t.blocking++
		t.queue.push(entry{kind: blocking})
		return b.original
	}
	return t.issue()
}

// issue returns the command with the time-out that is good now.
func (t *Tracker) issue() []byte {
	b := t.block
	now, d := t.Block()
	if !b.until.IsZero() {
		if left := b.until.Sub(now); left <= d {
			d, b.last = left, true
		}
	}
	d = max((d + shortest - 1).Truncate(shortest), shortest) // not to end before the client's
	// Before this it is CLIENT UNBLOCK that ended it. The server's clock may
	// have been set a little meanwhile.
	b.early = now.Add(d - max(10*time.Millisecond, d/1000))
	ms := d.Milliseconds()
	timeout := strconv.FormatInt(ms, 10)
	if b.unit == time.Second {
		timeout = strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64)
	}
	b.args[b.timeout] = []byte(timeout)
	b.state = sent
	t.blocking++
	t.queue.push(entry{kind: shortened})
	return resp.AppendCommandBytes(nil, b.args...)
}
