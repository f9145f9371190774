package front

import (
	"bufio"
	"net"
	"slices"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// due is a reply the backend owes.
type due struct {
	mute   bool        // the client asked for no reply
	block  bool        // the command may wait for data
	answer chan []byte // not for the client: the frame is handed over
	queued *queued     // of a command inside MULTI
	sub    string      // of a command of the SUBSCRIBE family: its name
	left   int         // confirmations still to come; -1: one per subscription there is
}

// leg is a connection to the backend. The conn's mutex guards due, subs and
// retired; w belongs to the conn's own goroutine.
type leg struct {
	c       *conn
	nc      net.Conn
	w       *bufio.Writer
	scratch []byte
	done    chan struct{} // closed when read has returned

	due     []*due
	subs    map[string]bool // kind and name of each subscription
	retired bool            // closed on purpose
}

func newLeg(c *conn, nc net.Conn) *leg {
	return &leg{c: c, nc: nc, w: bufio.NewWriterSize(nc, 16<<10), done: make(chan struct{}), subs: map[string]bool{}}
}

func (l *leg) send(args [][]byte) error {
	l.scratch = resp.AppendCommandBytes(l.scratch[:0], args...)
	_, err := l.w.Write(l.scratch)
	if cap(l.scratch) > 1<<20 {
		l.scratch = nil
	}
	return err
}

// read passes the backend's replies on until it closes.
func (l *leg) read() {
	defer close(l.done)
	r := resp.NewReader(l.nc)
	for {
		f, err := r.ReadFrame()
		if err != nil {
			l.c.backendEnded(l, err)
			return
		}
		l.c.frame(l, f)
	}
}

// take finds out what a frame answers, and does the book-keeping. It returns
// the debt it settled, nil for a push, a message or a first confirmation of
// several. The conn's mutex is held.
func (l *leg) take(f []byte) *due {
	var head *due
	if len(l.due) > 0 {
		head = l.due[0]
	}
	push := f[0] == '>'
	if push || len(l.subs) > 0 || head != nil && head.sub != "" {
		kind, name, ok := pubsubFrame(f)
		switch {
		case ok && confirms(kind):
			return l.confirm(head, kind, name)
		case push, ok && (kind == "message" || kind == "pmessage" || kind == "smessage"):
			return nil
		}
	}
	if head == nil || monitorLine(f) {
		return nil
	}
	l.due = l.due[1:]
	return head
}

// confirm counts one confirmation of a subscription or its end.
func (l *leg) confirm(head *due, kind, name string) *due {
	if head != nil && head.sub == kind && head.left < 0 {
		head.left = max(1, l.count(kind))
	}
	id := strings.Replace(kind, "un", "", 1) + " " + name
	if strings.Contains(kind, "unsub") {
		delete(l.subs, id)
	} else {
		l.subs[id] = true
	}
	if head == nil || head.sub != kind {
		return nil
	}
	if head.left--; head.left > 0 {
		return nil
	}
	l.due = l.due[1:]
	return head
}

// count is how many subscriptions a kind of unsubscribing without arguments
// ends.
func (l *leg) count(kind string) int {
	n, prefix := 0, strings.Replace(kind, "un", "", 1)+" "
	for id := range l.subs {
		if strings.HasPrefix(id, prefix) {
			n++
		}
	}
	return n
}

var subscribeFamily = []string{"subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"}

func confirms(kind string) bool { return slices.Contains(subscribeFamily, kind) }
