package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/resp"
)

const (
	defaultLoginTimeout = 15 * time.Second

	// quiet is how long a client that is owed nothing has to be silent before
	// Shutdown closes it.
	quiet = 250 * time.Millisecond

	// maxLinger bounds how long replies are awaited for a client that has closed
	// its direction.
	maxLinger = 30 * time.Second

	// lastWords bounds how long the error that ends a connection may take to
	// reach the client.
	lastWords = time.Second
)

// The reasons for the end of a client, beside errors.
var (
	errDraining = errors.New("proxy shuts down")
	errLeft     = errors.New("client left")
	errUpstream = errors.New("upstream ended")

	errSlowLogin = errors.New("client did not authenticate in time")
)

// client is one connection of a client, with its upstream.
type client struct {
	proxy  *Proxy
	conn   net.Conn
	in     io.Reader // conn, or what has begun to read from it
	since  time.Time
	ctx    context.Context // ended with the client; the cause is the reason
	cancel context.CancelCauseFunc
	unhook func() bool // from ctx
	seat   seat
	hush   sync.Mutex
	speaks bool // its last words; guarded by hush

	up, down atomic.Uint64
	commands commandCount
	asked    atomic.Int64 // when the client sent what it has had nothing for, as Unix nanoseconds; 0 = there is none
	owed     atomic.Bool  // the client has sent something behind the last reply
	active   atomic.Int64 // when bytes moved last, as Unix nanoseconds
}

func (c *client) end(why error) { c.cancel(why) }

// isQuiet reports whether nothing seems to be under way.
func (c *client) isQuiet() bool {
	return !c.owed.Load() && time.Since(time.Unix(0, c.active.Load())) > quiet
}

// welcome has the client served.
func (c *client) welcome() {
	c.active.Store(time.Now().UnixNano())
	// Whoever reads or writes is woken by what ends the client.
	c.unhook = context.AfterFunc(c.ctx, func() {
		c.interrupt()
		if c.seat.claim() {
			c.seat.who.resume()
		}
	})
	if c.proxy.hub != nil {
		newSession(c, c.proxy.hub).welcome()
	} else {
		go c.serve()
	}
}

// serve is for a client that gets an upstream of its own.
func (c *client) serve() {
	if err := c.carry(); err != errParked {
		c.over(err)
	}
}

// over is the end of a client.
func (c *client) over(err error) {
	defer c.proxy.leave(c)
	defer c.conn.Close()
	if cause := context.Cause(c.ctx); cause != nil && !isLimit(err) {
		err = cause
	}
	if e, ok := errors.AsType[*resp.LimitError](err); ok {
		c.refuse(e)
	}
	c.unhook() // nobody is there to be woken, and that takes a goroutine
	c.end(err)
	level := slog.LevelDebug
	if err != errDraining && err != errLeft && err != errUpstream {
		level = slog.LevelWarn
	}
	c.log(level, "client left", "reason", err, "after", time.Since(c.since).Round(time.Millisecond),
		"bytes_up", c.up.Load(), "bytes_down", c.down.Load())
}

func (c *client) connected() { c.log(slog.LevelDebug, "client connected") }

// log tells the proxy's logger something of the client.
func (c *client) log(level slog.Level, what string, more ...any) {
	if log, ctx := c.proxy.log, context.Background(); log.Enabled(ctx, level) {
		log.Log(ctx, level, what, append([]any{"client", remote(c.conn), "cache", c.proxy.Addr}, more...)...)
	}
}

// carry does all there is to do for the client, and returns why it ended. It
// returns errParked if the client is the loop's now.
func (c *client) carry() error {
	begun, err := c.greet()
	if err != nil {
		return err
	}
	c.owed.Store(true)
	c.active.Store(time.Now().UnixNano())
	upstream, begun, err := c.open(begun)
	if err != nil {
		if c.ctx.Err() != nil {
			return errLeft
		}
		if err != errDraining {
			c.proxy.count(func(s *Stats) { s.dialFailed(err) })
		}
		c.say(dialRefusal(err))
		return err
	}
	if w, ok := c.in.(*watched); ok {
		begun = append(begun, w.stop(c.ctx)...)
		c.in = c.conn
	}
	lane := c.proxy.nextLane()
	r := &ride{client: c, line: newLine(upstream), loop: lane.spread, lane: lane}
	r.unhook = context.AfterFunc(c.ctx, r.line.close)
	c.connected()
	return r.goOn(begun)
}

// open returns an upstream, and what of begun is yet to be sent on it. A spare
// that takes nothing of that has ended with nobody knowing: it is no error, and
// nothing can have run.
func (c *client) open(begun []byte) (upstream net.Conn, rest []byte, err error) {
	u := c.proxy.upstreams
	if spare := u.take(); spare != nil {
		unhook := context.AfterFunc(c.ctx, func() { spare.Close() })
		defer unhook()
		c.proxy.limit(spare)
		c.commands.begin(spare)
		c.asksNow()
		if n, err := spare.Write(begun); n > 0 || err == nil {
			c.up.Add(uint64(n))
			return spare, begun[n:], nil // an error is met again
		}
		spare.Close()
	}
	if upstream, err = u.open(c.ctx, u.patience(), c.watch); err == nil {
		c.proxy.limit(upstream)
		c.commands.begin(upstream)
	}
	return upstream, begun, err
}

// watch reads what the client sends before it has an upstream. The channel is
// closed when it sends no more.
func (c *client) watch() <-chan struct{} {
	w := watch(c.conn)
	c.in = w
	return w.ended
}

// awaitReplies gives the replies to what a client asked for last a chance: it
// may have closed only its own direction. They have all come when upstream has
// been silent for a while.
func (c *client) awaitReplies(downEnded chan error) {
	tick := time.NewTicker(quiet / 5)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < maxLinger; {
		silence := quiet
		if c.owed.Load() {
			silence = lastWords
		}
		if time.Since(time.Unix(0, c.active.Load())) > silence {
			return
		}
		select {
		case err := <-downEnded:
			downEnded <- err
			return
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// carryUp carries from the client to upstream, begun first.
func (c *client) carryUp(upstream io.Writer, begun []byte) error {
	in := buffer{}
	defer in.release()
	for b := begun; ; {
		if len(b) > 0 {
			c.asksNow()
			n, err := upstream.Write(b)
			c.up.Add(uint64(n))
			if err != nil {
				return errUpstream
			}
		}
		var err error
		if b, err = in.read(c.in); err != nil {
			return errLeft
		}
	}
}

// asksNow notes that the client has sent something.
func (c *client) asksNow() { c.asksAt(time.Now()) }

func (c *client) asksAt(now time.Time) {
	c.owed.Store(true)
	c.active.Store(now.UnixNano())
	c.asks(now)
}

// carryDown carries from upstream to the client, replies that have come first.
func (c *client) carryDown(upstream *line, come []byte) error {
	in := buffer{}
	defer in.release()
	if len(come) > 0 {
		if err := c.give(come); err != nil {
			return err
		}
	}
	for {
		b, err := in.read(upstream.get())
		if err != nil {
			if c.restore(upstream) {
				continue
			}
			return upstreamEnded(err)
		}
		if err := c.give(b); err != nil {
			return err
		}
	}
}

// upstreamEnded is why a client ends whose upstream did, with err.
func upstreamEnded(err error) error {
	if err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errUpstream
	}
	return err
}

// give writes replies to the client.
func (c *client) give(b []byte) error {
	c.handed(time.Now())
	n, err := c.conn.Write(b)
	c.down.Add(uint64(n))
	if err != nil {
		return errLeft
	}
	c.owed.Store(false)
	c.active.Store(time.Now().UnixNano())
	return nil
}

// dialRefusal is what a client is told if its upstream cannot be opened.
func dialRefusal(err error) string {
	prefix := "ERR"
	if _, ok := errors.AsType[*entraredis.TokenError](err); ok {
		prefix = "NOAUTH"
	}
	if e, ok := errors.AsType[*entraredis.AuthError](err); ok && e.Reply != "" {
		prefix = "NOAUTH"
	}
	return prefix + " entraredis: " + strings.TrimPrefix(err.Error(), "entraredis: ")
}

// say sends an error reply that ends the connection.
func (c *client) say(line string) { lastReply(c.conn, line) }

func dismiss(c net.Conn, line string) {
	defer c.Close()
	lastReply(c, line)
}

// lastReply sends an error and waits until the client had a chance to read it:
// closing with unread bytes would reset the connection, and take the error away.
func lastReply(c net.Conn, line string) {
	line = oneLine(line)
	c.SetDeadline(time.Now().Add(lastWords))
	if _, err := io.WriteString(c, "-"+line+"\r\n"); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		io.Copy(io.Discard, io.LimitReader(c, 1<<20))
	}
}

// oneLine returns text as one line can hold it.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}

func remote(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" { // a client's socket has no name
		return a.String()
	}
	return "unix"
}
