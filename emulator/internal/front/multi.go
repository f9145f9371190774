package front

import (
	"bytes"

	"github.com/entraredis/entraredis/emulator/internal/acl"
	"github.com/entraredis/entraredis/internal/resp"
)

// transaction is what stands between MULTI and EXEC.
type transaction struct {
	open   bool
	dirty  bool // a command was refused: EXEC will be too
	queued []*queued
}

// queued is one command inside MULTI.
type queued struct {
	answer func() bool // of a command that the front answers itself
	ok     bool        // the backend said QUEUED. Guarded by the conn's mutex
}

// unqueued are the commands that MULTI does not hold back.
var unqueued = []string{"exec", "discard", "multi", "watch"}

// queue puts a command into the transaction. One that the front answers itself
// is represented by an ECHO, whose place in EXEC's reply is then its own.
func (c *conn) queue(cmd *acl.Command, args [][]byte) bool {
	q := &queued{answer: c.local(cmd, args)}
	c.tx.queued = append(c.tx.queued, q)
	if q.answer != nil {
		args = [][]byte{[]byte("ECHO"), []byte("0")}
	}
	return c.forward(c.main, args, &due{mute: c.mute, queued: q})
}

// exec ends the transaction.
func (c *conn) exec(args [][]byte) bool {
	if !c.drain() {
		return false
	}
	tx := c.tx
	c.tx = transaction{}
	local := false
	c.mu.Lock()
	for _, q := range tx.queued {
		tx.dirty = tx.dirty || !q.ok
		local = local || q.answer != nil
	}
	c.mu.Unlock()
	switch {
	case tx.open && tx.dirty:
		if _, ok := c.ask(c.main, "DISCARD"); !ok {
			return false
		}
		c.sayError("EXECABORT Transaction discarded because of previous errors.")
		return true
	case !local:
		return c.forward(c.main, args, &due{mute: c.mute})
	}
	reply, ok := c.ask(c.main, "EXEC")
	if !ok {
		return false
	}
	n, rest := arrayLen(reply)
	if n != len(tx.queued) {
		c.say(reply) // a watched key changed, or an error
		return true
	}
	return c.splice(rest, tx.queued)
}

// splice sends EXEC's reply with our own answers in the places of the ECHOs.
func (c *conn) splice(elements []byte, list []*queued) bool {
	all := array(len(list))
	c.sink = &all
	r := resp.NewReader(bytes.NewReader(elements))
	for _, q := range list {
		f, err := r.ReadFrame()
		if err != nil {
			c.log.Error("EXEC reply", "error", err)
			return false
		}
		if q.answer == nil {
			c.say(f)
		} else if !q.answer() {
			return false
		}
	}
	c.sink = nil
	c.say(all)
	return true
}
