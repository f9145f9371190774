package entraredis_test

import (
	"fmt"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// Connections that only send commands.
var plainStates = []state{
	{name: "idle", hold: holdIdle},
	{name: "commands", hold: holdCommands},
	{name: "pipelines", hold: holdPipelines},
	{name: "reading", hold: holdReading},
	{name: "half-a-command", hold: holdHalfACommand},
	{name: "quit", hold: holdQuit},
}

func holdIdle(h *held) {
	c := h.dial()
	id := c.ask("CLIENT", "ID")
	<-h.over
	c.outlived()
	c.do(id+"\r\n", "CLIENT", "ID")
}

func holdCommands(h *held) {
	c := h.dial()
	n := 0
	for h.rest() {
		n++
		c.do(integer(n), "INCR", "commands")
		c.do(bulk(fmt.Sprint(n)), "GET", "commands")
	}
	c.outlived()
	if n < *lifetimes {
		h.Errorf("only %d commands in %d lifetimes", n, *lifetimes)
	}
}

func holdPipelines(h *held) {
	c := h.dial()
	n := 0
	for h.rest() {
		var b []byte
		for range 30 {
			b = resp.AppendCommand(b, "INCR", "pipelines")
			b = resp.AppendCommand(b, "ECHO", "between")
			b = resp.AppendCommand(b, "NOSUCHCOMMAND")
		}
		if _, err := c.Write(b); err != nil {
			h.Fatal(err)
		}
		for range 30 {
			n++
			c.want(integer(n))
			c.want(bulk("between"))
			if f, err := c.r.ReadFrame(); err != nil || !strings.HasPrefix(string(f), "-ERR unknown command") {
				h.Fatalf("got %q, %v, want the error in its place", f, err)
			}
		}
	}
	c.outlived()
}

// A client whose goroutine for replies waits in Read, as rueidis's does.
func holdReading(h *held) {
	c := h.dial()
	done := h.aside(c, func() error {
		<-h.over
		_, err := c.Write(resp.AppendCommand(nil, "ECHO", "at last"))
		return err
	})
	c.want(bulk("at last"))
	done()
	c.outlived()
}

// Commands that are half written nearly all the time. The re-AUTH waits for
// the end of one; it falls due so early that a tenth of a token's life is left.
func holdHalfACommand(h *held) {
	c := h.dial()
	for n, going := 0, true; going; n++ {
		b := resp.AppendCommand(nil, "ECHO", fmt.Sprint("number ", n))
		for _, piece := range [][]byte{b[:2], b[2:17]} {
			if _, err := c.Write(piece); err != nil {
				h.Fatal(err)
			}
			going = h.rest() && going
		}
		if _, err := c.Write(b[17:]); err != nil {
			h.Fatal(err)
		}
		c.want(bulk(fmt.Sprint("number ", n)))
	}
	c.outlived()
}

func holdQuit(h *held) {
	c := h.dial()
	<-h.over
	c.outlived()
	c.do("+OK\r\n", "QUIT")
	c.ends()
	c.Close()
	if st := h.dialer.Stats(); st.Expired != 0 || st.Open != 0 {
		h.Errorf("got %+v, want a connection that its client ended", st)
	}
}
