package entraredis_test

import "fmt"

// Commands that keep the server itself busy, before which even the AUTH waits.
var scriptStates = []state{
	{name: "eval-long", server: "miniredis has no clock in its scripts", hold: holdEval},
	{name: "eval", hold: holdShortEval},
	{name: "function", server: "miniredis has no functions", hold: holdFunction},
}

// busy keeps Redis busy for 200 ms and returns its argument.
const busy = `
local function now() local t = redis.call('TIME'); return t[1] * 1000000 + t[2] end
local began = now()
repeat until now() - began > 200000
return ARGV[1]`

func holdEval(h *held) {
	h.ownRedis() // nobody else is to wait
	c := h.dial()
	for n := 0; h.rest(); n++ {
		c.do(bulk(fmt.Sprint(n)), "EVAL", busy, "0", fmt.Sprint(n))
	}
	c.outlived()
}

func holdShortEval(h *held) {
	c := h.dial()
	for n := 1; h.rest(); n++ {
		c.do(integer(n), "EVAL", "return redis.call('INCR', KEYS[1])", "1", "eval")
	}
	c.outlived()
}

func holdFunction(h *held) {
	h.ownRedis()
	c := h.dial()
	c.do(bulk("held"), "FUNCTION", "LOAD", `#!lua name=held
redis.register_function('count', function(keys, args) return redis.call('INCR', keys[1]) end)`)
	for n := 1; h.rest(); n++ {
		c.do(integer(n), "FCALL", "count", "1", "function")
	}
	c.outlived()
}
