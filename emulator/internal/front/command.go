package front

import (
	"fmt"
	"slices"
	"strings"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// What an unauthenticated client may send at most (Redis 6.2, networking.c).
const (
	unauthWords = 10
	unauthBytes = 16384
)

// command deals with one command, in the order in which Redis's processCommand
// looks at it. It reports false when the connection is to end.
func (c *conn) command(args [][]byte) bool {
	c.s.commands.Add(1)
	c.mute, c.skip = c.replyOff || c.skip, false
	name := strings.ToLower(string(args[0]))
	c.note(name)
	session := c.current()
	if session == nil && c.s.flavor.limits {
		if problem := overLimit(args); problem != "" {
			if c.drain() {
				c.sayError(problem)
			}
			return false
		}
	}
	if name == "quit" {
		if c.drain() {
			c.sayOK()
		}
		return false
	}
	if c.settle && !confirms(name) {
		if c.settle = false; !c.drain() {
			return false
		}
	}
	if reply, reset := c.s.cfg.CommandFault(c.present, args); reset {
		c.abort()
		return false
	} else if reply != nil {
		if !c.drain() {
			return false
		}
		c.say(reply)
		return true
	}
	cmd, problem := c.lookup(args)
	switch {
	case problem != "":
	case session == nil && !cmd.NoAuth:
		problem = "NOAUTH Authentication required."
	case session != nil:
		if d := session.Rules.Check(cmd, args); d != nil {
			problem = c.s.flavor.denied(session.Username, d)
		} else if c.proto == 2 && !c.allowedSubscribed(name) && c.subscribed() {
			problem = c.s.flavor.inSubscription(cmd.Name)
		}
	}
	switch {
	case problem != "":
		return c.reject(name, problem)
	case name == "reset":
		return c.reset()
	case c.tx.open && !slices.Contains(unqueued, name):
		return c.queue(cmd, args)
	}
	return c.run(cmd, name, args)
}

// lookup finds the command, or says why the server does not know it.
func (c *conn) lookup(args [][]byte) (cmd *acl.Command, problem string) {
	f := c.s.flavor
	cmd, container := acl.Lookup(f.acl, args)
	switch {
	case container == nil && c.foreign(args[0]):
		return &acl.Command{Name: strings.ToLower(string(args[0])), Arity: -1}, ""
	case container == nil, f.blocks(container, args), container.Name == "hello" && c.s.cfg.RefuseHello():
		return nil, f.unknownCommand(args)
	case cmd == nil:
		return nil, f.unknownSub(container, args)
	case !cmd.ArityOK(len(args)):
		return nil, fmt.Sprintf("ERR wrong number of arguments for '%s' command", cmd.Name)
	}
	return cmd, ""
}

// foreign reports whether a command that is in no table may be known to the
// backend: a module's (JSON.GET), for a user who may run everything.
func (c *conn) foreign(name []byte) bool {
	session := c.current()
	return c.s.flavor.acl != acl.Redis60 && session != nil && session.Rules.All(c.s.flavor.acl) && strings.Contains(string(name), ".")
}

func overLimit(args [][]byte) string {
	if len(args) > unauthWords {
		return "ERR Protocol error: unauthenticated multibulk length"
	}
	for _, a := range args {
		if len(a) > unauthBytes {
			return "ERR Protocol error: unauthenticated bulk length"
		}
	}
	return ""
}

// reject answers with an error before the command was run, which spoils the
// transaction it came in.
func (c *conn) reject(name, text string) bool {
	if !c.drain() {
		return false
	}
	if name != "exec" {
		c.tx.dirty = c.tx.open
		c.sayError(text)
		return true
	}
	if c.tx.open {
		if _, ok := c.ask(c.main, "DISCARD"); !ok {
			return false
		}
		c.tx = transaction{}
	}
	c.sayError("EXECABORT Transaction discarded because of: " + strings.TrimPrefix(text, "ERR "))
	return true
}

// run executes a command outside a transaction, or one that is never queued.
func (c *conn) run(cmd *acl.Command, name string, args [][]byte) bool {
	if answer := c.local(cmd, args); answer != nil {
		return c.drain() && answer()
	}
	switch name {
	case "multi":
		if !c.tx.open {
			c.tx = transaction{open: true}
		}
	case "exec":
		return c.exec(args)
	case "discard":
		c.tx = transaction{}
	}
	d := &due{mute: c.mute, block: cmd.Block || name == "wait"}
	if confirms(name) {
		return c.forwardSub(name, args)
	}
	if name == "ping" && c.proto == 2 && c.sub != nil && c.subscribed() {
		return c.forward(c.sub, args, d)
	}
	return c.forward(c.main, args, d)
}

// forwardSub forwards SUBSCRIBE and its like. A RESP3 client may go on with any
// command while subscribed, which not every backend allows: its subscriptions
// live on a backend connection of their own.
func (c *conn) forwardSub(name string, args [][]byte) bool {
	c.settle = true
	l := c.main
	if c.proto == 3 && c.sub == nil {
		sub, err := c.openLeg()
		if err != nil {
			c.log.Error("no backend", "error", err)
			return false
		}
		c.sub = sub
		if _, ok := c.ask(c.sub, "HELLO", "3"); !ok {
			return false
		}
	}
	if c.sub != nil && (c.proto == 3 || c.subscribed()) {
		l = c.sub
	}
	d := &due{sub: name, left: len(args) - 1}
	if d.left == 0 {
		d.left = -1
	}
	return c.forward(l, args, d)
}

// subscribed reports whether there is any subscription.
func (c *conn) subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.legs {
		if len(l.subs) > 0 {
			return true
		}
	}
	return false
}

func (c *conn) allowedSubscribed(name string) bool {
	return confirms(name) || name == "ping" || name == "reset"
}

func (c *conn) note(name string) {
	c.mu.Lock()
	c.lastName = name
	c.mu.Unlock()
}
