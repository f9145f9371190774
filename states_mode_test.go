package entraredis_test

import (
	"fmt"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// Connections on which a command decides how others are taken.
var modeStates = []state{
	{name: "client-reply-off", hold: holdReplyOff},
	{name: "client-reply-skip", hold: holdReplySkip},
	{name: "asking", server: "it takes a cluster whose slots are being moved", hold: holdAsking},
}

func holdReplyOff(h *held) {
	c, other := h.dial(), h.dial()
	c.send("CLIENT", "REPLY", "OFF")
	n := 0
	for h.rest() {
		c.send("INCR", "unanswered")
		n++
	}
	c.outlived()
	c.do("+OK\r\n", "CLIENT", "REPLY", "ON")
	c.do(bulk(fmt.Sprint(n)), "GET", "unanswered")
	other.do(bulk(fmt.Sprint(n)), "GET", "unanswered")
}

func holdReplySkip(h *held) {
	c := h.dial()
	n := 0
	for ; h.rest(); n++ {
		// SKIP is for the one command behind it, which an AUTH must not be.
		c.send("CLIENT", "REPLY", "SKIP")
		if !h.rest() {
			break
		}
		c.send("INCR", "skipped")
		c.do(bulk(fmt.Sprint(n+1)), "GET", "skipped")
	}
	c.outlived()
}

// ASKING is for the one command behind it: a node that is taking over a slot
// serves that command and sends any other away.
func holdAsking(h *held) {
	h.ownCluster("asked")
	redis := h.adminOf(h.redis)
	redis.do("+OK\r\n", "ASKING")
	redis.do("+OK\r\n", "AUTH", "default", "any password")
	if got := redis.ask("GET", "asked"); !strings.HasPrefix(got, "-MOVED ") {
		h.Fatalf("got %q: Redis spares ASKING for what comes behind an AUTH", got)
	}
	c := h.dial()
	for h.rest() {
		moved := c.ask("GET", "asked")
		if !strings.HasPrefix(moved, "-MOVED ") {
			h.Fatalf("got %q, want to be sent away", moved)
		}
		c.do("+OK\r\n", "ASKING")
		if !h.rest() {
			break
		}
		c.do(bulk("served"), "GET", "asked")
	}
	c.outlived()
}

// ownCluster gives this state a node that is importing the key's slot and has
// the key already.
func (h *held) ownCluster(key string) {
	h.Helper()
	args := func() []string {
		return []string{"--cluster-enabled", "yes", "--cluster-port", freePort(h.T), "--cluster-require-full-coverage", "no"}
	}
	owner := startRedisServer(h.T, h.bin, args()...)
	importing := args()
	h.ownRedis(importing...)
	mine := h.adminOf(h.redis)
	theirs := h.adminOf(owner)
	theirs.do("+OK\r\n", "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	host, port, _ := strings.Cut(h.redis, ":")
	theirs.do("+OK\r\n", "CLUSTER", "MEET", host, port, importing[3])
	_, id, _ := strings.Cut(theirs.ask("CLUSTER", "MYID"), "\r\n")
	for !strings.Contains(mine.ask("CLUSTER", "NODES"), id) || !strings.Contains(mine.ask("CLUSTER", "INFO"), "cluster_state:ok") {
		h.breathe()
	}
	_, slot, _ := strings.Cut(mine.ask("CLUSTER", "KEYSLOT", key), ":")
	mine.do("+OK\r\n", "CLUSTER", "SETSLOT", slot, "IMPORTING", id)
	b := append(resp.AppendCommand(nil, "ASKING"), resp.AppendCommand(nil, "SET", key, "served")...)
	if _, err := mine.Write(b); err != nil {
		h.Fatal(err)
	}
	mine.want("+OK\r\n")
	mine.want("+OK\r\n")
}
