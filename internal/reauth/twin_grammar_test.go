//go:build unix

package reauth_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// maker makes up conversations.
type maker struct {
	*rand.Rand
	script
	timeout string // for those blocks that are not chosen for theirs: see patient
}

// option is something that may come next, in words ($k is a key, $v a value, $big a large one, $t a time-out),
// lines separated by "|".
type option struct {
	weight int
	lines  string
}

// users are the restrictions that a client may have. An AUTH changes nobody:
// the default user, whom RESET leaves, has the same.
var users = []string{"-exec", "-multi", "-client", "-subscribe -psubscribe -ssubscribe", "-discard", "-hello",
	"-blpop -monitor -xread", "-reset", "-client|reply", "-@pubsub", "-@blocking", "-@transaction -eval", "-xrevrange", "-watch -ping"}

// newScript makes up a conversation. The same seed makes the same.
func newScript(seed uint64) *script {
	m := maker{Rand: rand.New(rand.NewPCG(seed, 1)), timeout: "0.005"}
	if m.one(6) {
		m.user = strings.Fields(users[m.IntN(len(users))])
	}
	m.tls = m.one(25)
	switch m.IntN(8) {
	case 0, 1:
		m.pieces = []int{1}
	case 2, 3, 4, 5:
		for range 1 + m.IntN(5) {
			m.pieces = append(m.pieces, 1+m.IntN(1<<m.IntN(9)))
		}
	}
	options := slices.Concat(plainOptions, modeOptions)
	switch {
	case m.one(10):
		options = slices.Concat(options, briefBlocks)
	case m.one(12):
		options = slices.Concat(options, patientBlocks)
		m.timeout = "0"
	}
	if m.one(3) {
		options = slices.Concat(options, rareOptions)
	}
	if m.one(2) {
		options = slices.Concat(options, scenes)
	}
	m.add(sends, "RPUSH list x")
	for range 3 + m.IntN(30) {
		m.next(options)
	}
	if m.one(60) {
		m.pipeline(100 + m.IntN(500))
	}
	if m.one(12) {
		m.fault()
	}
	m.add(sends, "RESET")
	m.add(sends, "ECHO end")
	if m.one(3) {
		m.add(sends, "QUIT")
	}
	m.tidy()
	m.shorten()
	return &m.script
}

// one is true one time in n.
func (m *maker) one(n int) bool { return m.IntN(n) == 0 }

func (m *maker) next(options []option) {
	total := 0
	for _, o := range options {
		total += o.weight
	}
	at := m.IntN(total)
	for _, o := range options {
		if at -= o.weight; at >= 0 {
			continue
		}
		for line := range strings.SplitSeq(o.lines, "|") {
			m.disturb()
			switch verb, rest, _ := strings.Cut(line, " "); verb {
			case other, raw:
				m.add(verb, rest)
			default:
				if m.one(6) && !strings.ContainsAny(line, `$"`) && line != "" {
					m.add(inlines, line)
				} else {
					m.add(sends, line)
				}
			}
		}
		return
	}
}

// disturb makes a re-AUTH due now and then, and reads.
func (m *maker) disturb() {
	if m.one(3) {
		e := event{verb: asks}
		if m.one(6) {
			e.verb = refused
		}
		if m.one(2) {
			e.n = m.IntN(1 << m.IntN(8))
		}
		m.events = append(m.events, e)
	}
	if m.one(3) {
		e := event{verb: reads}
		if m.one(2) {
			e.n = 1 + m.IntN(1<<m.IntN(9))
		}
		m.events = append(m.events, e)
	}
}

func (m *maker) add(verb, line string) {
	words, err := fields(line)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", line, err))
	}
	for i, w := range words {
		switch w {
		case "$k":
			words[i] = fmt.Sprint("k", m.IntN(4))
		case "$v":
			words[i] = strings.Repeat("v\r\n", m.IntN(50))
		case "$big":
			words[i] = strings.Repeat("+OK\r\n", 1+m.IntN(1<<m.IntN(15)))
		case "$t":
			words[i] = m.timeout
		case "$n":
			words[i] = fmt.Sprint(m.IntN(4))
		}
	}
	m.events = append(m.events, event{verb: verb, words: words})
}

// pipeline adds many commands that nobody reads the replies of in between.
func (m *maker) pipeline(n int) {
	for range n {
		switch m.IntN(12) {
		case 0:
			m.add(sends, "MULTI")
		case 1:
			m.add(sends, "EXEC")
		case 2:
			m.events = append(m.events, event{verb: asks, n: m.IntN(30)})
		case 3:
			m.add(sends, "GET $k")
		case 4:
			m.add(sends, "LRANGE list 0 3")
		default:
			m.add(sends, "SET $k $v")
		}
	}
}

// fault ends the connection somewhere.
func (m *maker) fault() {
	e := event{verb: cut, n: m.IntN(1 << m.IntN(9))}
	if m.one(2) {
		e = event{verb: lost, n: 1 + m.IntN(1<<m.IntN(10))}
	}
	m.events = slices.Insert(m.events, m.IntN(len(m.events)+1), e)
}

// tidy takes out what cannot be compared.
func (m *maker) tidy() {
	drop := func(names ...string) {
		m.events = slices.DeleteFunc(m.events, func(e event) bool {
			return len(e.words) > 0 && slices.Contains(names, strings.ToUpper(e.words[0]))
		})
	}
	if slices.Contains(m.user, "-reset") {
		// Behind a refused RESET the AUTH that was to follow it shows in the stream.
		drop("MONITOR")
	}
	if m.has(blockers...) {
		// When the invalidations of BCAST come would depend on when a block ends.
		m.events = slices.DeleteFunc(m.events, func(e event) bool { return slices.Contains(e.words, "BCAST") })
	}
	if m.tls && m.has("MONITOR") {
		m.tls = false // how many bytes come cannot be told: those of the barrier are among them
	}
}

var plainOptions = []option{
	{20, "GET $k"},
	{20, "SET $k $v"},
	{8, "RPUSH list message a +OK"},
	{8, "LRANGE list 0 6"},
	{5, "INCR $k"}, // often an error
	{5, "PING"},
	{2, "PING x"},
	{3, "ECHO OK"},
	{3, "NOSUCHCOMMAND x"},
	{1, ""},
	{1, "GET"},
	{2, "HSET h a 1|HGETALL h"},
	{2, "LPOP list"},
	{1, "LPOP list 0"},
	{2, "SELECT $n"},
	{2, `EVAL "return {1,{2,'a'},redis.status_reply('OK')}" 0`},
	{1, `EVAL "return redis.error_reply('ERR no such thing')" 0`},
	{1, `EVAL "redis.setresp(3) return {map={a=1,b={double=1.5}}}" 0`},
	{1, `EVAL "redis.setresp(3) return redis.call('HGETALL','h')" 0`},
	{1, `EVAL "return redis.call('PUBLISH','c1','from a script')" 0`},
	{1, "CLIENT GETNAME"},
	{1, "CLIENT SETNAME x"},
	{1, "CLIENT ID"},
	{4, "! SET $k other"},
	{2, "! INCR $k"},
	{2, "! FLUSHDB"},
}

var modeOptions = []option{
	{12, "MULTI"},
	{14, "EXEC"},
	{4, "DISCARD"},
	{3, "WATCH $k"},
	{1, "WATCH k1 k2"},
	{1, "UNWATCH"},
	{1, "MULTI x"},
	{1, "EXEC x"},
	{1, "DISCARD x"},
	{3, "HELLO 2"},
	{6, "HELLO 3"},
	{1, "HELLO 4"},
	{1, "HELLO"},
	{1, "HELLO 3 SETNAME me"},
	{1, "HELLO 2 SETNAME you"},
	{1, "HELLO 3 NOSUCH"},
	{4, "SUBSCRIBE c1 c1"},
	{1, "SUBSCRIBE c1 c2 c3"},
	{1, "SUBSCRIBE"},
	{3, "PSUBSCRIBE c*"},
	{1, "PSUBSCRIBE c* d*"},
	{2, "SSUBSCRIBE s1"},
	{4, "UNSUBSCRIBE"},
	{2, "UNSUBSCRIBE c1"},
	{1, "UNSUBSCRIBE c1 c2 nope"},
	{4, "PUNSUBSCRIBE"},
	{1, "PUNSUBSCRIBE d*"},
	{3, "SUNSUBSCRIBE"},
	{6, "PUBLISH c1 hello"},
	{1, "PUBLISH c2 message"},
	{2, "SPUBLISH s1 hello"},
	{5, "! PUBLISH c1 elsewhere"},
	{1, "! PUBLISH c1 $big"},
	{2, "! SPUBLISH s1 elsewhere"},
	{3, "CLIENT REPLY OFF"},
	{6, "CLIENT REPLY ON"},
	{4, "client reply skip"},
	{1, "CLIENT REPLY MAYBE"},
	{1, "CLIENT REPLY"},
	{2, "CLIENT TRACKING ON"},
	{1, "CLIENT TRACKING OFF"},
	{2, "RESET"},
}

var rareOptions = []option{
	{3, "MONITOR"},
	{3, "CLIENT TRACKING ON BCAST PREFIX k"},
	{2, "CLIENT TRACKING ON OPTIN"},
	{2, "CLIENT TRACKING ON OPTOUT NOLOOP"},
	{2, "CLIENT TRACKING ON REDIRECT $other"},
	{2, "CLIENT CACHING YES"},
	{2, "CLIENT CACHING NO"},
	{3, "ASKING"},
	{2, "READONLY"},
	{3, "AUTH entra wrong"},
	{1, "AUTH entra secret"},
	{1, "AUTH secret"},
	{1, "AUTH"},
	{1, "HELLO 3 AUTH entra secret"},
	{1, "HELLO 3 AUTH entra secret SETNAME me"},
	{2, "HELLO 3 SETNAME auth AUTH entra wrong"},
	{2, "HELLO 2 AUTH nobody wrong"},
	{2, "QUIT"},
	{1, "RESET x"},
	{3, "RESET"},
	{3, "SET $k $big|GET $k"},
	{2, `EVAL "for i=1,800 do redis.call('RPUSH','big',i) end return 1" 0|LRANGE big 0 -1`},
	{2, `FUNCTION LOAD REPLACE "#!lua name=l\nredis.register_function('f', function() return redis.status_reply('OK') end)"|FCALL f 0`},
	{2, `SCRIPT LOAD "return 1"|EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0`},
	{1, "DEBUG PROTOCOL attrib"},
	{1, "DEBUG PROTOCOL null"},
	{1, "DEBUG PROTOCOL bignum"},
	{1, "DEBUG PROTOCOL verbatim"},
	{1, "DEBUG PROTOCOL set"},
	{1, "DEBUG PROTOCOL map"},
	{1, "DEBUG PROTOCOL double"},
	{1, "DEBUG PROTOCOL true"},
	{1, "DEBUG PROTOCOL push"},
	{2, "REPLCONF ACK 0"},
	{1, `raw "\r\n*-1\r\n"`},
	{2, `raw "\r\n*0\r\n"`},
	{1, `raw "*1\r\n!4\r\nPING\r\n"`},
	{1, `raw "*3\r\n$3\r\nSET\r\n$-1\r\n"`},
	{1, `raw "*2000000000\r\n"`},
	{1, `raw "SET k1 \"half\r\n"`},
	{1, "! CLIENT KILL ID $id"},
	{2, "! CLIENT TRACKING ON REDIRECT $id"},
	{2, "! GET $k"},
	{1, `XADD BLOCK 0-* f v`},
	{1, `XREAD COUNT 1 STREAMS BLOCK 0`},
	{1, `BLPOP`},
	{1, `OBJECT HELP`},
	{1, `COMMAND COUNT`},
}

// scenes lead to states that single commands seldom do.
var scenes = []option{
	{4, "WATCH k1|! SET k1 changed|MULTI|INCR n|EXEC"},
	{4, "WATCH k1|MULTI|SET k1 mine|EXEC"},
	{4, "MULTI|SET k1 1|NOSUCHCOMMAND|EXEC"},
	{3, "MULTI|SUBSCRIBE c1|EXEC"},
	{3, "MULTI|GET k1|EXEC|SUBSCRIBE c1"},
	{2, "MULTI|RESET"},
	{2, "MULTI|BLPOP none $t|EXEC"},
	{2, "MULTI|HELLO 3|EXEC"},
	{4, "SUBSCRIBE c1|! PUBLISH c1 one|PING|! PUBLISH c1 two|UNSUBSCRIBE c1"},
	{4, "PSUBSCRIBE c*|SUBSCRIBE c1|! PUBLISH c1 one|UNSUBSCRIBE|PUNSUBSCRIBE|GET $k"},
	{3, "SSUBSCRIBE s1|! SPUBLISH s1 one|SUNSUBSCRIBE"},
	{3, "HELLO 3|SUBSCRIBE c1|! PUBLISH c1 one|GET k1|! PUBLISH c1 two"},
	{3, "SUBSCRIBE c1|GET k1|RESET|GET k1"},
	{2, "SUBSCRIBE c1|HELLO 3|PING"},
	{2, "SUBSCRIBE c1|QUIT"},
	{2, "SUBSCRIBE c1|! PUBLISH c1 $big|! PUBLISH c1 $v"},
	{3, "HELLO 3|CLIENT TRACKING ON|GET k1|! SET k1 changed|GET k2"},
	{3, "HELLO 3|CLIENT TRACKING ON BCAST|! SET k1 changed|SET k2 x"},
	{2, "HELLO 3|CLIENT TRACKING ON OPTIN|CLIENT CACHING YES|GET k1|! SET k1 changed"},
	{2, "SUBSCRIBE __redis__:invalidate|! CLIENT TRACKING ON REDIRECT $id|! GET k1|! SET k1 x|! GET k1|! FLUSHDB"},
	{2, "HELLO 3|! CLIENT TRACKING ON BCAST REDIRECT $id|! SET k1 x"},
	{2, "CLIENT TRACKING ON REDIRECT $other|GET k1|! SET k1 x"},
	{3, "CLIENT REPLY OFF|SET k1 1|GET k1|CLIENT REPLY ON|GET k1"},
	{3, "CLIENT REPLY SKIP|SET k1 1|CLIENT REPLY SKIP|GET k1|GET k1"},
	{2, "CLIENT REPLY OFF|MULTI|SET k1 1|EXEC|CLIENT REPLY ON"},
	{2, "HELLO 3|SUBSCRIBE c1|CLIENT REPLY OFF|! PUBLISH c1 one|CLIENT REPLY ON"},
	{2, "MONITOR|! SET k1 x|GET k1|RESET"},
	{2, "MONITOR|! PUBLISH c1 x|PING|MULTI|GET k1|EXEC|QUIT"},
}

// briefBlocks end by themselves.
var briefBlocks = []option{
	{2, "BLPOP list 0.01"}, // seldom waits: list is not empty for long
	{1, "XREAD COUNT 1 BLOCK 1 STREAMS st 0"},
	{1, "WAIT 0 1"},
	{4, "BLPOP none 0.003"},
	{3, "BRPOP none nothing 0.012"},
	{2, "BLMOVE none list LEFT RIGHT 0.004"},
	{2, "BRPOPLPUSH none list 0.004"},
	{3, "BLMPOP 0.005 1 none LEFT"},
	{3, "BZPOPMIN z 0.004"},
	{2, "BZPOPMAX z 0.02"},
	{2, "BZMPOP 0.004 1 z MIN"},
	{3, "XREAD BLOCK 4 STREAMS st $"},
	{3, "XADD st 0-* f v|XREAD BLOCK 15 STREAMS st $"},
	{2, "XADD st 0-* f v|XREAD COUNT 1 BLOCK 15 STREAMS st 0"},
	{2, "XGROUP CREATE st g $ MKSTREAM|XREADGROUP GROUP g c BLOCK 4 STREAMS st >"},
	{2, "XREADGROUP GROUP BLOCK c BLOCK 2 STREAMS st >"},
	{3, "WAIT 1 5"},
	{1, "BLPOP none -1"},
	{1, "BLPOP none x"},
	{4, "! RPUSH none x y"},
	{2, "! ZADD z 1 m"},
	{2, "! XADD st 0-* f elsewhere"},
}

// patientBlocks end when somebody else does something.
var patientBlocks = []option{
	{4, "BLPOP none 0|! RPUSH none x"},
	{3, "BRPOP none nothing 1000|! RPUSH nothing x"},
	{2, "BLMOVE none list LEFT RIGHT 0|! RPUSH none x"},
	{2, "BRPOPLPUSH none list 0|! RPUSH none x"},
	{3, "BLMPOP 0 2 none nothing LEFT COUNT 2|! RPUSH nothing x y z"},
	{3, "BZPOPMIN z 0|! ZADD z 1 m"},
	{2, "BZPOPMAX z 1000|! ZADD z 1 m 2 n"},
	{2, "BZMPOP 0 1 z MIN|! ZADD z 1 m"},
	{4, "XREAD BLOCK 0 STREAMS st $|! XADD st 0-* f v"},
	{2, "XREAD BLOCK 0 STREAMS st other $ $|! XADD other 0-* f v"},
	{2, "XADD st 0-* f v|XREAD COUNT 1 BLOCK 0 STREAMS st $|! XADD st 0-* f v"},
	{3, "XGROUP CREATE st g $ MKSTREAM|XREADGROUP GROUP g c BLOCK 0 STREAMS st >|! XADD st 0-* f v"},
	{3, "XGROUP CREATE st g $ MKSTREAM|XREADGROUP GROUP g c BLOCK 0 STREAMS st >|! DEL st"},
	{2, "WAIT 1 0|! CLIENT UNBLOCK $id"},
	{3, "BLPOP none 0|GET k1|! CLIENT UNBLOCK $id TIMEOUT"},
	{3, "BLPOP none 0|SET k1 x|MULTI|! CLIENT UNBLOCK $id ERROR"},
	{2, "XREAD BLOCK 0 STREAMS st $|! CLIENT UNBLOCK $id"},
	{2, "HELLO 3|SUBSCRIBE c1|BLPOP none 0|! PUBLISH c1 hello|! RPUSH none x"},
	{2, "SUBSCRIBE c1|BLPOP none 0|! RPUSH none x"},
	{2, "HELLO 3|BLPOP none 0|! CLIENT KILL ID $id"},
	{2, "CLIENT REPLY OFF|BLPOP none 0|! RPUSH none x|CLIENT REPLY ON"},
	{2, "CLIENT REPLY SKIP|BLPOP none 0|! RPUSH none x|GET k1"},
	{2, "BLPOP none 0|! SET none x|! DEL none|! RPUSH none x"},
	{1, "BLPOP none 0|RESET"},
	{1, "BLPOP none 0|QUIT"},
	{1, "BLPOP none 0"},
}

// shorten makes blocking commands be sent with shorter time-outs.
func (m *maker) shorten() {
	if !m.has(blockers...) || m.has("MONITOR") || m.one(2) {
		return
	}
	m.longest = time.Duration(2+m.IntN(5)) * time.Millisecond
	// A key that becomes of another type or goes does not end a block, but it
	// is an error to one that is sent then.
	m.events = slices.DeleteFunc(m.events, func(e event) bool {
		return e.verb == other && slices.Contains([]string{"SET none x", "DEL none", "DEL st", "FLUSHDB"}, strings.Join(e.words, " "))
	})
	for i, e := range m.events {
		if e.verb == other && slices.Contains(e.words, "UNBLOCK") {
			// So soon before the end of a shortened block a TIMEOUT cannot be told from it.
			m.events[i].words = []string{"CLIENT", "UNBLOCK", "$id", "ERROR"}
		}
	}
}
