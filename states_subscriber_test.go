package entraredis_test

import (
	"fmt"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// Subscribers.
var subscriberStates = []state{
	{name: "subscriber-resp2", hold: func(h *held) { holdSubscriber(h, 2) }},
	{name: "subscriber-resp3", hold: func(h *held) { holdSubscriber(h, 3) }},
	{name: "subscribing-resp2", hold: func(h *held) { holdSubscribing(h, 2) }},
	{name: "subscribing-resp3", hold: func(h *held) { holdSubscribing(h, 3) }},
}

// speaking dials a connection that speaks that protocol, and returns with it
// the kind of frame its messages are.
func (h *held) speaking(protocol int) (c *subject, kind byte) {
	h.Helper()
	c = h.dial()
	if protocol == 2 {
		return c, '*'
	}
	c.send("HELLO", "3")
	if f, err := c.r.ReadFrame(); err != nil || f[0] != '%' {
		h.Fatalf("HELLO: %q, %v", f, err)
	}
	return c, '>'
}

// holdSubscriber numbers the messages, so that each that is lost or repeated
// is seen.
func holdSubscriber(h *held, protocol int) {
	c, kind := h.speaking(protocol)
	other := h.dial()
	prefix := fmt.Sprint("resp", protocol, ":")
	message := func(words ...string) string { return aggregate(kind, bulksOf(words)...) }
	confirmed := func(what, name string, n int) string {
		return aggregate(kind, bulk(what), bulk(name), integer(n))
	}
	c.do(confirmed("subscribe", prefix+"channel", 1), "SUBSCRIBE", prefix+"channel")
	c.do(confirmed("psubscribe", prefix+"p*", 2), "PSUBSCRIBE", prefix+"p*")
	shards := !h.virtual // miniredis has none
	if shards {
		c.do(confirmed("ssubscribe", prefix+"shard", 1), "SSUBSCRIBE", prefix+"shard")
	}
	// By what stands before a message's text.
	kinds := map[string][]string{
		"message":  {"message", prefix + "channel"},
		"pmessage": {"pmessage", prefix + "p*", prefix + "pattern"},
	}
	publish := [][]string{{"PUBLISH", prefix + "channel"}, {"PUBLISH", prefix + "pattern"}}
	if shards {
		kinds["smessage"] = []string{"smessage", prefix + "shard"}
		publish = append(publish, []string{"SPUBLISH", prefix + "shard"})
	}
	last := make(chan int, 1)
	done := h.aside(c, func() error {
		n := 0
		for going := true; going; {
			going = h.rest()
			for range 5 {
				n++
				text := fmt.Sprint(n)
				if !going {
					text = "end"
				}
				for _, words := range publish {
					if err := other.exchange(":1\r\n", append(words, text)...); err != nil {
						return err
					}
				}
				if !going {
					break
				}
			}
		}
		last <- n - 1
		return nil
	})
	got := map[string]int{}
	for open := len(kinds); open > 0; {
		f, err := c.r.ReadFrame()
		if err != nil {
			h.Fatalf("behind %v messages: %v", got, err)
		}
		kind := strings.Split(string(f), "\r\n")[2]
		if string(f) == message(append(kinds[kind], "end")...) {
			open--
			continue
		}
		got[kind]++
		if want := message(append(kinds[kind], fmt.Sprint(got[kind]))...); string(f) != want {
			h.Fatalf("got %q, want %q", f, want)
		}
	}
	done()
	sent := <-last
	for kind := range kinds {
		if got[kind] != sent {
			h.Errorf("got %d %ss of %d", got[kind], kind, sent)
		}
	}
	c.outlived()
	c.do(confirmed("unsubscribe", prefix+"channel", 1), "UNSUBSCRIBE", prefix+"channel")
	c.do(confirmed("punsubscribe", prefix+"p*", 0), "PUNSUBSCRIBE")
	if shards {
		c.do(confirmed("sunsubscribe", prefix+"shard", 0), "SUNSUBSCRIBE", prefix+"shard")
	}
	c.do("+PONG\r\n", "PING")
}

// holdSubscribing subscribes and unsubscribes all the time, with ordinary
// commands between.
func holdSubscribing(h *held, protocol int) {
	c, kind := h.speaking(protocol)
	other := h.dial()
	prefix := fmt.Sprint("changing", protocol, ":")
	for n := 1; h.rest(); n++ {
		channel := fmt.Sprint(prefix, n%7)
		c.do(aggregate(kind, bulk("subscribe"), bulk(channel), ":1\r\n"), "SUBSCRIBE", channel)
		other.do(":1\r\n", "PUBLISH", channel, fmt.Sprint(n))
		c.want(aggregate(kind, bulksOf([]string{"message", channel, fmt.Sprint(n)})...))
		if n%3 == 0 { // it stands for a while
			h.rest()
			h.rest()
		}
		if _, err := c.Write(append(resp.AppendCommand(nil, "UNSUBSCRIBE", channel), resp.AppendCommand(nil, "INCR", prefix+"n")...)); err != nil {
			h.Fatal(err)
		}
		c.want(aggregate(kind, bulk("unsubscribe"), bulk(channel), ":0\r\n"))
		c.want(integer(n))
		other.do(":0\r\n", "PUBLISH", channel, "to nobody")
	}
	c.outlived()
}
