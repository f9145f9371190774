package entraredis_test

import (
	"fmt"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// Connections that carry settings of their own.
var sessionStates = []state{
	{name: "select", hold: holdSelect},
	{name: "client-setname", hold: holdSetName},
	{name: "hello-switch", hold: holdHelloSwitch},
	{name: "reset", hold: holdReset},
	{name: "tracking-resp3", server: "miniredis has no CLIENT TRACKING", hold: holdTracking},
	{name: "tracking-redirect", server: "miniredis has no CLIENT TRACKING", hold: holdTrackingRedirect},
}

func holdSelect(h *held) {
	c, other := h.dial(), h.dial()
	c.do("+OK\r\n", "SELECT", "3")
	<-h.over
	c.outlived()
	c.do("+OK\r\n", "SET", "select", "in 3")
	other.do("$-1\r\n", "GET", "select")
	other.do("+OK\r\n", "SELECT", "3")
	other.do(bulk("in 3"), "GET", "select")
}

func holdSetName(h *held) {
	h.dialer.ClientName = "from-the-dialer"
	c, named := h.dial(), h.dial()
	named.do("+OK\r\n", "CLIENT", "SETNAME", "from-the-client")
	<-h.over
	c.outlived()
	named.outlived()
	c.do(bulk("from-the-dialer"), "CLIENT", "GETNAME")
	named.do(bulk("from-the-client"), "CLIENT", "GETNAME")
}

func holdHelloSwitch(h *held) {
	c := h.dial()
	c.do(":1\r\n", "HSET", "hello", "field", "value")
	inMap := aggregate('%', bulk("field")+bulk("value")) // one pair
	for protocol := 3; h.rest(); protocol = 5 - protocol {
		kind := byte('%')
		if protocol == 2 {
			kind = '*'
		}
		c.send("HELLO", fmt.Sprint(protocol))
		if f, err := c.r.ReadFrame(); err != nil || f[0] != kind {
			h.Fatalf("HELLO %d: got %q, %v", protocol, f, err)
		}
		if protocol == 3 {
			c.do(inMap, "HGETALL", "hello")
		} else {
			c.do(bulks("field", "value"), "HGETALL", "hello")
		}
	}
	c.outlived()
}

func holdReset(h *held) {
	c := h.dial()
	resets := 0
	for n := 0; h.rest(); n++ {
		if n%25 != 0 {
			c.do("+PONG\r\n", "PING")
			continue
		}
		resets++
		c.do("+OK\r\n", "SELECT", "5")
		c.do("+OK\r\n", "CLIENT", "SETNAME", "forgotten")
		// In one write, so that the GET is there before anyone has seen RESET's
		// reply: the AUTH behind it has to be between the two.
		if _, err := c.Write(append(resp.AppendCommand(nil, "RESET"), resp.AppendCommand(nil, "SET", "reset", fmt.Sprint(n))...)); err != nil {
			h.Fatal(err)
		}
		c.want("+RESET\r\n")
		c.want("+OK\r\n")
		c.do("$-1\r\n", "CLIENT", "GETNAME")
		c.do("+OK\r\n", "SELECT", "0")
		c.do(bulk(fmt.Sprint(n)), "GET", "reset")
	}
	c.outlived()
	if resets < *lifetimes {
		h.Errorf("only %d RESETs", resets)
	}
}

func holdTracking(h *held) {
	c, other := h.dial(), h.dial()
	c.send("HELLO", "3")
	if f, err := c.r.ReadFrame(); err != nil || f[0] != '%' {
		h.Fatalf("HELLO: %q, %v", f, err)
	}
	c.do("+OK\r\n", "CLIENT", "TRACKING", "ON")
	invalidated := aggregate('>', bulk("invalidate"), bulks("tracked"))
	for n := 0; h.rest(); n++ {
		other.do("+OK\r\n", "SET", "tracked", fmt.Sprint(n))
		c.do(bulk(fmt.Sprint(n)), "GET", "tracked")
		other.do("+OK\r\n", "SET", "tracked", "changed")
		c.want(invalidated)
	}
	c.outlived()
}

// The RESP2 form: invalidations go to a second connection, a subscriber.
func holdTrackingRedirect(h *held) {
	h.ownEmulator(emulator.Options{})
	sub := h.dial()
	sub.do(aggregate('*', bulk("subscribe"), bulk("__redis__:invalidate"), ":1\r\n"), "SUBSCRIBE", "__redis__:invalidate")
	admin := h.adminOf(h.redis)
	ids := h.redisIDs(admin) // the last one is the connection that subscribed
	c, other := h.dial(), h.dial()
	c.do("+OK\r\n", "CLIENT", "TRACKING", "ON", "REDIRECT", ids[len(ids)-1])
	invalidated := aggregate('*', bulk("message"), bulk("__redis__:invalidate"), bulks("redirected"))
	for n := 0; h.rest(); n++ {
		other.do("+OK\r\n", "SET", "redirected", fmt.Sprint(n))
		c.do(bulk(fmt.Sprint(n)), "GET", "redirected")
		other.do("+OK\r\n", "SET", "redirected", "changed")
		sub.want(invalidated)
	}
	c.outlived()
	sub.outlived()
}
