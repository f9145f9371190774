package entraredis_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Blocked clients. What each must see is what Redis itself would have sent:
// one reply, when there is something to reply.
var blockingStates = []state{
	{name: "blpop", hold: blocking{block: "BLPOP %s %d", serve: "RPUSH %s x", reply: "%s x"}.hold},
	{name: "brpop", hold: blocking{block: "BRPOP %s %d", serve: "RPUSH %s x", reply: "%s x"}.hold},
	{name: "blmove", hold: blocking{block: "BLMOVE %s moved LEFT RIGHT %d", serve: "RPUSH %s x", scalar: true, reply: "x"}.hold},
	{name: "brpoplpush", hold: blocking{block: "BRPOPLPUSH %s moved %d", serve: "RPUSH %s x", scalar: true, reply: "x"}.hold},
	{name: "blmpop", server: "miniredis has no BLMPOP", hold: blocking{timeoutFirst: true, block: "BLMPOP %d 2 none %s LEFT", serve: "RPUSH %s x", nested: true, reply: "%s x"}.hold},
	{name: "bzpopmin", hold: blocking{block: "BZPOPMIN %s %d", serve: "ZADD %s 1 x", reply: "%s x 1"}.hold},
	{name: "bzpopmax", hold: blocking{block: "BZPOPMAX %s %d", serve: "ZADD %s 1 x", reply: "%s x 1"}.hold},
	{name: "bzmpop", server: "miniredis has no BZMPOP that blocks", hold: blocking{timeoutFirst: true, block: "BZMPOP %d 2 none %s MIN", serve: "ZADD %s 1 x", scored: true, reply: "%s x 1"}.hold},
	{name: "xread-block", hold: blocking{timeoutFirst: true, millis: true, block: "XREAD BLOCK %d STREAMS %s 0-1", serve: "XADD %s 5-1 f x", stream: true}.hold},
	{name: "xread-block-new", server: "only a server can be asked whom it has blocked", hold: holdXReadNew},
	{name: "xread-block-follow", hold: holdXReadFollow},
	{name: "xreadgroup-block", hold: blocking{timeoutFirst: true, millis: true, prepare: "XGROUP CREATE %s g $ MKSTREAM", block: "XREADGROUP GROUP g c BLOCK %d STREAMS %s >", serve: "XADD %s 5-1 f x", stream: true}.hold},
	{name: "wait", server: "it takes a replica", hold: holdWait},
	{name: "client-unblock", server: "the emulator has no CLIENT UNBLOCK", hold: holdUnblock},
}

// blocking is a command that blocks, on a key, for a time-out.
type blocking struct {
	prepare, block, serve string // formats; block has the time-out too
	timeoutFirst          bool
	millis                bool   // the time-out is in milliseconds
	reply                 string // words of the reply to serve; %s is the key
	scalar, nested        bool   // the reply is one string; the elements come in an array of their own
	scored                bool   // nested, with a score behind each element
	stream                bool   // the reply is the entry 5-1
}

// words is the command; 0 blocks for ever.
func (b blocking) words(key string, timeout time.Duration) []string {
	n := int(timeout / time.Second)
	if b.millis {
		n = int(timeout / time.Millisecond)
	}
	if b.timeoutFirst {
		return strings.Fields(fmt.Sprintf(b.block, n, key))
	}
	return strings.Fields(fmt.Sprintf(b.block, key, n))
}

// answer is the reply to the command once its key has been served.
func (b blocking) answer(key string) string {
	if b.stream {
		entry := aggregate('*', bulk("5-1"), bulks("f", "x"))
		return aggregate('*', aggregate('*', bulk(key), aggregate('*', entry)))
	}
	words := strings.Fields(strings.ReplaceAll(b.reply, "%s", key))
	switch {
	case b.scalar:
		return bulk(words[0])
	case b.scored:
		return aggregate('*', bulk(key), aggregate('*', bulks(words[1:]...)))
	case b.nested:
		return aggregate('*', bulk(key), bulks(words[1:]...))
	}
	return bulks(words...)
}

// hold blocks three connections: for ever, for longer than it lasts, and for a
// time that ends in the middle of a later lifetime.
func (b blocking) hold(h *held) {
	keys := []string{"ever:" + h.Name(), "long:" + h.Name(), "brief:" + h.Name()}
	other := h.dial()
	for _, key := range keys {
		if b.prepare != "" {
			other.do("+OK\r\n", strings.Fields(fmt.Sprintf(b.prepare, key))...)
		}
	}
	ever, long, brief := h.dial(), h.dial(), h.dial()
	timeout := (7 * h.life() / 2).Truncate(time.Second)
	ever.send(b.words(keys[0], 0)...)
	long.send(b.words(keys[1], h.span()*8/5)...)
	began := time.Now()
	brief.send(b.words(keys[2], timeout)...)
	replies := []*waiting{ever.waits(), long.waits()}

	brief.want("*-1\r\n") // of BLMOVE and BRPOPLPUSH, too
	// Redis counts in milliseconds.
	if took := time.Since(began); took <= timeout-time.Millisecond {
		h.Errorf("blocked for %v, want %v", took, timeout)
	} else if h.virtual && took > timeout+time.Second {
		h.Errorf("blocked for %v, want %v", took, timeout)
	}
	brief.do("+PONG\r\n", "PING")
	<-h.over
	for i, c := range []*subject{ever, long} {
		c.outlived()
		other.send(strings.Fields(fmt.Sprintf(b.serve, keys[i]))...)
		if f, err := other.r.ReadFrame(); err != nil || f[0] == '-' {
			h.Fatalf("%s: %q, %v", b.serve, f, err)
		}
		replies[i].want(b.answer(keys[i]))
		c.do("+PONG\r\n", "PING") // nothing came behind it
	}
	brief.outlived()
	other.do("+OK\r\n", "SET", keys[2], "not taken by who had given up")
}

// XREAD with $ gets what is added after it has come, whatever is done to it in
// the meantime.
func holdXReadNew(h *held) {
	h.ownRedis()
	admin := h.adminOf(h.redis)
	throughout, again, other := h.dial(), h.dial(), h.dial()
	throughout.send("XREAD", "BLOCK", "0", "STREAMS", "throughout", "$")
	reply := throughout.waits()
	h.blockedClients(admin, 1)
	for n := 1; h.rest(); n++ {
		again.send("XREAD", "BLOCK", "0", "STREAMS", "again", "$")
		reply := again.waits()
		h.blockedClients(admin, 2)
		for range n * 7 % 50 { // up to a whole lifetime
			h.rest()
		}
		entry(other, "again", n)
		reply.want(entries("again", n))
	}
	throughout.outlived()
	again.outlived()
	entry(other, "throughout", 1)
	reply.want(entries("throughout", 1))
	throughout.do("+PONG\r\n", "PING")
}

func entry(c *subject, stream string, n int) {
	c.Helper()
	id := strconv.Itoa(n) + "-1"
	c.do(bulk(id), "XADD", stream, id, "n", strconv.Itoa(n))
}

// entries is XREAD's reply with one entry.
func entries(stream string, n int) string {
	e := aggregate('*', bulk(strconv.Itoa(n)+"-1"), bulks("n", strconv.Itoa(n)))
	return aggregate('*', aggregate('*', bulk(stream), aggregate('*', e)))
}

// A reader that goes on behind the last ID it got: each entry once, in order.
func holdXReadFollow(h *held) {
	c, other := h.dial(), h.dial()
	done := h.aside(c, func() error {
		n := 0
		for h.rest() {
			for range n * 7 % 50 {
				h.rest()
			}
			n++
			id := strconv.Itoa(n) + "-1"
			if err := other.exchange(bulk(id), "XADD", "follow", id, "n", strconv.Itoa(n)); err != nil {
				return err
			}
		}
		return other.exchange(bulk("1000000-1"), "XADD", "follow", "1000000-1", "n", "1000000")
	})
	for n := 1; ; n++ {
		c.send("XREAD", "COUNT", "1", "BLOCK", "0", "STREAMS", "follow", strconv.Itoa(n-1)+"-1")
		f, err := c.r.ReadFrame()
		if err != nil {
			h.Fatalf("behind entry %d: %v", n, err)
		}
		if string(f) == entries("follow", 1000000) {
			break
		}
		if string(f) != entries("follow", n) {
			h.Fatalf("got %q, want entry %d", f, n)
		}
	}
	done()
	c.outlived()
}

// WAIT blocks until replicas have what was written.
func holdWait(h *held) {
	h.ownRedis()
	ever, long, brief := h.dial(), h.dial(), h.dial()
	for _, c := range []*subject{ever, long, brief} {
		c.do("+OK\r\n", "SET", "wait", "written")
	}
	timeout := 7 * h.life() / 2
	ever.send("WAIT", "1", "0")
	long.send("WAIT", "1", strconv.Itoa(int(h.span()*8/5/time.Millisecond)))
	began := time.Now()
	brief.send("WAIT", "1", strconv.Itoa(int(timeout/time.Millisecond)))
	replies := []*waiting{ever.waits(), long.waits()}
	brief.want(":0\r\n")
	if took := time.Since(began); took <= timeout-time.Millisecond {
		h.Errorf("blocked for %v, want %v", took, timeout)
	}
	<-h.over
	host, port, _ := strings.Cut(h.redis, ":")
	startRedisServer(h.T, h.bin, "--replicaof", host, port)
	for i, c := range []*subject{ever, long} {
		c.outlived()
		replies[i].want(":1\r\n")
		c.do("+PONG\r\n", "PING")
	}
}

// CLIENT UNBLOCK from elsewhere ends the block for the client too.
func holdUnblock(h *held) {
	h.ownRedis()
	admin := h.adminOf(h.redis)
	timeout, failed := h.dial(), h.dial()
	ids := h.redisIDs(admin)
	timeout.send("BLPOP", "unblocked", "0")
	failed.send("XREAD", "BLOCK", "0", "STREAMS", "unblocked-stream", "$")
	replies := []*waiting{timeout.waits(), failed.waits()}
	h.blockedClients(admin, 2)
	<-h.over
	timeout.outlived()
	failed.outlived()
	if h.Failed() {
		return // there is nobody to unblock
	}
	for i, how := range []string{"TIMEOUT", "ERROR"} {
		h.unblock(admin, replies[i], ids[i], how)
	}
	replies[0].want("*-1\r\n")
	replies[1].want("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
	timeout.do("+PONG\r\n", "PING")
	failed.do("+PONG\r\n", "PING")
}

// unblock goes on until the client is not blocked. Once is not always enough:
// between two turns of the command nobody is blocked, and a nil close to the
// end of one may be taken for that end.
func (h *held) unblock(admin *link, reply *waiting, id, how string) {
	h.Helper()
	for {
		admin.ask("CLIENT", "UNBLOCK", id, how)
		select {
		case <-reply.came:
			return
		case <-time.After(h.life() / 20):
		case <-h.gaveUp:
			h.Fatalf("CLIENT UNBLOCK %s does not reach the client", how)
		}
	}
}
