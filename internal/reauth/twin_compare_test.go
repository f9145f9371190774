//go:build unix

package reauth_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/entraredis/entraredis/internal/resp"
)

// pair is two servers that are asked the same.
type pair struct{ one, other *server }

// compare holds the conversation with both servers, and says how the client,
// or anybody else, could tell that there were re-AUTHs.
func (p *pair) compare(sc *script, follow func(*script) follower) (with *leg, err error) {
	a, b, err := p.open(sc)
	if err != nil {
		return nil, err
	}
	without := &leg{script: sc, server: p.one, c: a}
	with = &leg{script: sc, server: p.other, c: b, follow: follow(sc), twin: &without.outcome}
	if err := without.hold(); err != nil {
		b.Close()
		return with, fmt.Errorf("without re-AUTH: %w", err)
	}
	if err := with.hold(); err != nil {
		return with, fmt.Errorf("with re-AUTH: %w\nclient saw\n%q, without re-AUTH\n%q", err, with.seen, without.seen)
	}
	got, want := with.outcome, without.outcome
	if sc.breaks() {
		return with, prefixes(got.seen, want.seen)
	}
	// Behind CLIENT REPLY OFF or SKIP, QUIT and malformed bytes have no reply,
	// and Redis closes when it next has one to write: that depends on how the
	// bytes arrive.
	malformed := func(e event) bool { return e.verb == raw }
	lingers := (sc.has("QUIT") || slices.ContainsFunc(sc.events, malformed)) && (sc.mentions("REPLY") || sc.mentions("reply"))
	switch g, w := normal(got.seen), normal(want.seen); {
	case !bytes.Equal(g, w):
		return with, differ(g, w)
	case !lingers && got.ended != want.ended:
		return with, fmt.Errorf("connection ended: %v, without re-AUTH: %v", got.ended, want.ended)
	case !lingers && !slices.Equal(got.others, want.others):
		return with, fmt.Errorf("others saw\n%q, without re-AUTH\n%q", got.others, want.others)
	case got.digest != want.digest:
		return with, fmt.Errorf("the server holds %q, without re-AUTH %q", got.digest, want.digest)
	case !lingers && len(with.sent) > 0 && !with.ended:
		return with, errors.New("a re-AUTH has no answer")
	}
	return with, nil
}

// open returns connections of the same CLIENT ID.
func (p *pair) open(sc *script) (a, b *link, err error) {
	if a, err = p.one.open(sc, false); err != nil {
		return nil, nil, err
	}
	if b, err = p.other.open(sc, sc.tls); err != nil {
		a.Close()
		return nil, nil, err
	}
	for a.id != b.id && err == nil {
		if len(a.id) < len(b.id) || len(a.id) == len(b.id) && a.id < b.id {
			a.Close()
			a, err = p.one.connect(false)
		} else {
			b.Close()
			b, err = p.other.connect(sc.tls)
		}
	}
	return a, b, err
}

func differ(got, want []byte) error {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(0, at-300)
	return fmt.Errorf("client saw, from byte %d on,\n%.600q, without re-AUTH\n%.600q", from, got[from:], want[from:])
}

// prefixes checks what was seen up to a cut: whole frames, and the one that
// was cut, as far as it came.
func prefixes(got, want []byte) error {
	// Where a name of a subscription is cut its order cannot be told.
	g, w := normal(got[:wholeFrames(got)]), normal(want)
	if !bytes.HasPrefix(w, g) {
		return differ(g, w[:min(len(w), len(g)+200)])
	}
	return nil
}

func wholeFrames(b []byte) (whole int) {
	var r resp.Replies
	for n := 0; n < len(b); {
		k, done, err := r.Next(b[n:])
		if err != nil {
			break
		}
		if n += k; done {
			whole = n
		}
	}
	return whole
}

var (
	monitorLine = regexp.MustCompile(`\+[0-9]+\.[0-9]+ \[([0-9]+) [^]]*\]`)
	barrierLine = regexp.MustCompile(`\+T \[[0-9]+\] "ECHO" "` + barrier + `"\r\n`)
	// Redis ends all subscriptions in an order of its own.
	endOrder = regexp.MustCompile(`unsubscribe\r\n\$[0-9]+\r\n[a-z0-9*_:]+`)
)

// normal returns b without what differs between any two servers: time stamps,
// addresses, and our own commands in the MONITOR stream.
func normal(b []byte) []byte {
	if bytes.Contains(b, []byte(" [")) {
		b = monitorLine.ReplaceAll(b, []byte("+T [$1]"))
		b = barrierLine.ReplaceAll(b, nil)
	}
	return endOrder.ReplaceAll(b, []byte("unsubscribe X"))
}
