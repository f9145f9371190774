package commands_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/commands"
)

func stateless(line string) bool {
	return commands.Stateless(bytes.Fields([]byte(line)), true)
}

func TestStateless(t *testing.T) {
	for _, line := range []string{
		"get k", "GET k", "SET k v", "mSeT a 1 b 2", "PING", "EVAL x 0", "SCRIPT LOAD x", "script exists x", "OBJECT ENCODING k",
		"XREAD COUNT 1 STREAMS s 0", "XREADGROUP GROUP BLOCK BLOCK COUNT 2 STREAMS BLOCK >", "CLUSTER SLOTS", "PUBLISH c m",
		"SPUBLISH c m", "SELECT 0", "XINFO STREAM s", "SORT l", "MEMORY USAGE k", "COMMAND DOCS get", "LPOP l", "LMPOP 1 l LEFT",
		// Of Redis 7.4 and 8, and of modules.
		"HEXPIRE h 1 FIELDS 1 f", "HPEXPIREAT h 1 FIELDS 1 f", "HTTL h FIELDS 1 f", "HPERSIST h FIELDS 1 f", "HGETEX h FIELDS 1 f", "HSETEX h FIELDS 1 f v",
		"HGETDEL h FIELDS 1 f", "XACKDEL s g IDS 1 1-1", "XDELEX s IDS 1 1-1", "VADD v VALUES 1 1 e", "JSON.GET k", "json.set k $ 1", "FT.SEARCH i q", "FT.CREATE i SCHEMA t TEXT",
		"BF.ADD b x", "CF.ADD c x", "CMS.QUERY c x", "TOPK.ADD t x", "TDIGEST.ADD t 1", "TS.ADD t * 1", "TS.MRANGE - + FILTER a=b", "FT.AGGREGATE i q LIMIT 0 1",
	} {
		if !stateless(line) {
			t.Errorf("%s: got stateful", line)
		}
	}
	for _, line := range []string{
		"", "NOSUCH k", "NOSUCH.GET k", "MULTI", "EXEC", "DISCARD", "WATCH k", "UNWATCH", "AUTH p", "HELLO 3", "RESET", "QUIT", "MONITOR",
		"SELECT 1", "SELECT 00", "SELECT", "SELECT 0 0", "SUBSCRIBE c", "PSUBSCRIBE c", "SSUBSCRIBE c", "UNSUBSCRIBE", "PUNSUBSCRIBE",
		"SUNSUBSCRIBE", "SYNC", "PSYNC ? -1", "REPLCONF x", "READONLY", "READWRITE", "ASKING", "DEBUG SLEEP 1", "SCRIPT DEBUG YES",
		"SCRIPT KILL", "FUNCTION KILL", "WAIT 1 0", "WAITAOF 1 0 0", "SHUTDOWN", "FAILOVER", "CLIENT ID", "CLIENT REPLY OFF",
		"CLIENT", "OBJECT", "CLUSTER", "ACL WHOAMI", "CONFIG GET x", "RESTORE-ASKING k 0 v", "BLPOP l 0", "BRPOP l 0", "BLMOVE a b LEFT LEFT 0",
		"BLMPOP 0 1 l LEFT", "BRPOPLPUSH a b 0", "BZPOPMIN z 0", "BZPOPMAX z 0", "BZMPOP 0 1 z MIN", "XREAD BLOCK 0 STREAMS s $",
		"xread count 1 block 0 streams s 0", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XREAD COUNT 1", "XREAD GROUP",
		"CLIENT KILL ID 3", "CLIENT KILL MAXAGE 3", "CLIENT NO-TOUCH ON", "CLIENT SETINFO LIB-NAME x", "CLUSTER MYSHARDID",
		"FT.AGGREGATE i q WITHCURSOR COUNT 5", "ft.aggregate i q withcursor", "FT.CURSOR READ i 1", "FT.CONFIG SET TIMEOUT 1", "FT.DEBUG", "FT.DEBUG GC_WAIT_FOR_JOBS",
		"TIMESERIES.HELLO", "TFCALL l.f 0", "GRAPH.QUERY g q",
		strings.Repeat("x", 100), "CLUSTER " + strings.Repeat("x", 100),
	} {
		if stateless(line) {
			t.Errorf("%s: got stateless", line)
		}
	}
	if commands.Stateless([][]byte{[]byte("CLUSTER SLOTS")}, true) {
		t.Error("a name with a blank is none")
	}
	for _, line := range []string{"SELECT 0", "FT.AGGREGATE i q"} {
		if commands.Stateless(bytes.Fields([]byte(line)), false) {
			t.Errorf("more arguments may follow %s", line)
		}
	}
}

// What a connection's state hangs on by Redis's own words is never shared,
// whatever is listed.
func TestNothingStatefulIsListed(t *testing.T) {
	for _, name := range commands.Names() {
		c, _ := commands.Find(name)
		forbidden := c.Flags&(commands.FlagAdmin|commands.FlagAllowBusy|commands.FlagAsking|commands.FlagBlocking|commands.FlagNoAuth|commands.FlagNoMulti) != 0 ||
			c.Categories&(commands.CatAdmin|commands.CatBlocking|commands.CatTransaction) != 0
		if forbidden && stateless(name) {
			t.Errorf("%s is taken for stateless with flags %b, categories %b", name, c.Flags, c.Categories)
		}
	}
}

func TestFind(t *testing.T) {
	c, ok := commands.Find("GET")
	if want := (commands.Command{Arity: 2, Flags: commands.FlagFast | commands.FlagReadonly, Categories: commands.CatFast | commands.CatRead | commands.CatString}); !ok || c != want {
		t.Errorf("GET: got %+v, %v, want %+v", c, ok, want)
	}
	if _, ok := commands.Find("get"); ok {
		t.Error("names are upper case")
	}
	if _, ok := commands.Find("CLUSTER SLOTS"); !ok {
		t.Error("CLUSTER SLOTS is missing")
	}
}

func TestStatelessDoesNotAllocate(t *testing.T) {
	args := bytes.Fields([]byte("cluster slots"))
	if n := testing.AllocsPerRun(100, func() { commands.Stateless(args, true) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
