package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// readAhead is how many commands are read from the client before the first of
// them has been dealt with. Reading ahead is what notices that the client has
// gone while a command blocks.
const readAhead = 128

// conn is one client connection. Its own goroutine (serve) takes one command
// after the other; others read from the client (pump), write to it
// (output.run) and read from the backend (leg.read).
//
// Everything the front answers itself is answered when the backend owes
// nothing more. So replies keep their order, and an AUTH behind a blocked
// command takes effect only after it, as in Redis.
type conn struct {
	s      *Server
	id     uint64
	nc     net.Conn
	log    *slog.Logger
	out    *output
	cmds   chan [][]byte
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	// present ends with the connection, or when the client closes its side.
	present context.Context
	leave   context.CancelFunc
	start   time.Time
	killed  chan struct{}  // closed when kill has done its work
	wg      sync.WaitGroup // pump, output.run and every leg.read

	// Of serve alone.
	main, sub *leg // sub: the subscriptions of a RESP3 client
	proto     int
	settle    bool // the last command may have changed what is permitted
	replyOff  bool // CLIENT REPLY OFF
	skip      bool // CLIENT REPLY SKIP came before this command
	mute      bool // this command gets no reply
	tx        transaction
	sink      *[]byte // where answers go inside EXEC; nil: to the client

	mu       sync.Mutex // guards the rest, and the legs' due and subs
	cond     *sync.Cond // signalled when a reply has come, the client has gone, or the connection is closed
	session  *Session
	auths    uint64
	timer    *time.Timer
	expired  bool
	closed   bool
	gone     bool // the client has closed its side
	legs     []*leg
	readErr  error
	name     string // CLIENT SETNAME
	libName  string
	libVer   string
	lastName string // the last command's name
}

func newConn(s *Server, id uint64, nc net.Conn) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{
		s: s, id: id, nc: nc, out: newOutput(nc), cmds: make(chan [][]byte, readAhead), killed: make(chan struct{}),
		ctx: ctx, cancel: cancel, start: s.cfg.Now(), proto: 2,
		log: s.cfg.Logger.With("conn", id),
	}
	c.present, c.leave = context.WithCancel(ctx)
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *conn) serve() {
	c.log.Debug("connection opened", "remote", c.nc.RemoteAddr().String())
	c.wg.Go(c.out.run)
	c.wg.Go(c.pump)
	if l, err := c.openLeg(); err != nil {
		c.log.Error("no backend", "error", err)
	} else {
		c.main = l
		c.loop()
		c.finish()
	}
	c.kill("done")
	for range c.cmds { // pump may be waiting to hand one over
	}
	c.wg.Wait()
}

// loop takes commands until there are no more, or one of them ends the
// connection.
func (c *conn) loop() {
	for {
		var args [][]byte
		var ok bool
		select {
		case args, ok = <-c.cmds:
		default:
			if !c.flush() {
				return
			}
			args, ok = <-c.cmds
		}
		if !ok || !c.command(args) {
			return
		}
	}
}

// finish lets what is owed reach the client before the connection closes.
func (c *conn) finish() {
	if !c.drain() {
		return
	}
	c.mu.Lock()
	err := c.readErr
	c.mu.Unlock()
	if perr, ok := errors.AsType[*resp.ProtocolError](err); ok {
		c.out.write(errorLine("ERR " + perr.Text))
	}
	c.out.finish()
	<-c.out.done
}

// pump reads the client's commands.
func (c *conn) pump() {
	defer close(c.cmds)
	r := resp.NewReader(c.nc)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			c.hangUp(err)
			return
		}
		select {
		case c.cmds <- clone(args):
		case <-c.ctx.Done():
			return
		}
	}
}

func clone(args [][]byte) [][]byte {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	all, own := make([]byte, 0, n), make([][]byte, len(args))
	for i, a := range args {
		from := len(all)
		all = append(all, a...)
		own[i] = all[from:len(all):len(all)]
	}
	return own
}

// hangUp notes that no more commands will come. A command that blocks is given
// up when the client has gone: whatever it took would be lost.
func (c *conn) hangUp(err error) {
	_, protocol := errors.AsType[*resp.ProtocolError](err)
	c.mu.Lock()
	c.readErr = err
	c.gone = !protocol
	gone, abandon := c.gone, c.gone && c.blocking()
	c.mu.Unlock()
	c.cond.Broadcast()
	if gone {
		c.leave()
	}
	if abandon {
		c.kill("client has gone")
	}
}

// say answers the client.
func (c *conn) say(b []byte) {
	switch {
	case c.sink != nil:
		*c.sink = append(*c.sink, b...)
	case !c.mute:
		c.out.write(b)
	}
}

func (c *conn) sayError(text string) { c.say(errorLine(text)) }

const okLine = "+OK\r\n"

func (c *conn) sayOK() { c.say([]byte(okLine)) }

// tokenExpired is kill's reason that the statistics count.
const tokenExpired = "token expired"

// kill closes the connection and everything that belongs to it, at once and
// without a word to the client. When it returns, they are closed, whoever was
// first to call it.
func (c *conn) kill(reason string) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		<-c.killed
		return
	}
	c.closed = true
	defer close(c.killed)
	if c.timer != nil {
		c.timer.Stop()
	}
	legs := c.legs
	c.mu.Unlock()
	if reason == tokenExpired {
		c.s.expired.Add(1)
	}
	c.s.forget(c)
	c.log.Debug("connection closed", "reason", reason)
	c.cancel()
	c.out.kill()
	c.nc.Close()
	for _, l := range legs {
		l.nc.Close()
	}
	c.cond.Broadcast()
}
