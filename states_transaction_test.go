package entraredis_test

import (
	"fmt"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/resp"
)

// Transactions.
var transactionStates = []state{
	{name: "watch", hold: holdWatch},
	{name: "multi", hold: holdMulti},
	{name: "multi-pipelined", hold: holdMultiPipelined},
	{name: "multi-past-expiry", hold: holdMultiPastExpiry},
}

// WATCH in one lifetime, EXEC in another one much later.
func holdWatch(h *held) {
	same, changed, other := h.dial(), h.dial(), h.dial()
	other.do("+OK\r\n", "MSET", "watched", "0", "altered", "0")
	same.do("+OK\r\n", "WATCH", "watched")
	changed.do("+OK\r\n", "WATCH", "altered")
	<-h.over
	same.outlived()
	changed.outlived()
	other.do("+OK\r\n", "SET", "altered", "1")
	for _, c := range []*subject{same, changed} {
		c.do("+OK\r\n", "MULTI")
		c.do("+QUEUED\r\n", "INCR", "executed")
	}
	same.do(aggregate('*', ":1\r\n"), "EXEC")
	changed.do("*-1\r\n", "EXEC")
	other.do(bulk("1"), "GET", "executed")
}

// Transactions that stay open for a while, within a lifetime.
func holdMulti(h *held) {
	c := h.dial()
	for n := 1; ; n++ {
		if n%5 == 0 {
			c.do("+OK\r\n", "MULTI")
			c.do("+QUEUED\r\n", "INCR", "discarded")
			h.rest()
			c.do("+OK\r\n", "DISCARD")
		}
		c.do("+OK\r\n", "MULTI")
		c.do("+QUEUED\r\n", "INCR", "multi")
		h.rest()
		going := h.rest()
		c.do("+QUEUED\r\n", "GET", "multi")
		c.do(aggregate('*', integer(n), bulk(fmt.Sprint(n))), "EXEC")
		if !going {
			break
		}
	}
	c.do("$-1\r\n", "GET", "discarded")
	c.outlived()
}

// One transaction begins before the one before it is answered.
func holdMultiPipelined(h *held) {
	c := h.dial()
	for n := 0; h.rest(); {
		var b []byte
		for range 20 {
			for _, words := range [][]string{{"MULTI"}, {"INCR", "back-to-back"}, {"GET", "back-to-back"}, {"EXEC"}} {
				b = resp.AppendCommand(b, words...)
			}
		}
		if _, err := c.Write(b); err != nil {
			h.Fatal(err)
		}
		for range 20 {
			n++
			c.want("+OK\r\n")
			c.want("+QUEUED\r\n")
			c.want("+QUEUED\r\n")
			c.want(aggregate('*', integer(n), bulk(fmt.Sprint(n))))
		}
	}
	c.outlived()
}

// An AUTH inside a transaction would be queued, and the EXEC's reply one longer.
// So the connection ends as it would without us, and says why.
func holdMultiPastExpiry(h *held) {
	c, other := h.dial(), h.dial()
	c.do("+OK\r\n", "MULTI")
	c.do("+QUEUED\r\n", "SET", "never", "executed")
	c.ends()
	if ev := h.expired("transaction"); ev.Err != nil {
		h.Errorf("got error %v, want none: nobody refused anything", ev.Err)
	}
	if h.dialer.Stats().Deferred["transaction"] == 0 || len(h.of(entraredis.EventReauthDeferred)) == 0 {
		h.Error("the re-AUTH that waited is not accounted for")
	}
	other.do("$-1\r\n", "GET", "never")
}
