package front_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/front"
)

func TestWords(t *testing.T) {
	const hello6 = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	for _, row := range []struct{ flavor, line, want string }{
		{"acr", "GET a", "-NOAUTH Authentication required."},
		{"acr", "PING", "-NOAUTH Authentication required."},
		{"acr", "NOSUCH a b", "-ERR unknown command `NOSUCH`, with args beginning with: `a`, `b`, "},
		{"acr", "GET", "-ERR wrong number of arguments for 'get' command"},
		{"acr", "HELLO 3", hello6},
		{"acr", "HELLO", "-ERR wrong number of arguments for 'hello' command"},
		{"acr", "HELLO 9", "-NOPROTO unsupported protocol version"},
		{"acr", "AUTH x", "-ERR WRONGPASS invalid username-password pair"},
		{"acr", "AUTH ada bad", "-ERR WRONGPASS invalid username-password pair"},
		{"acr", "AUTH a b c", "-ERR syntax error"},
		{"acr", "HELLO 2 AUTH ada bad", "-ERR WRONGPASS invalid username-password pair"},
		{"acr", "RESET", "-ERR unknown command `RESET`, with args beginning with: "},
		{"acr", "CONFIG GET maxmemory", "-ERR unknown command `CONFIG`, with args beginning with: `GET`, `maxmemory`, "},
		{"amr", "GET a", "-NOAUTH Authentication required."},
		{"amr", "HELLO 3", strings.Replace(hello6, "HELLO AUTH", "HELLO <proto> AUTH", 1)},
		{"amr", "HELLO x", "-ERR Protocol version is not an integer or out of range"},
		{"amr", "AUTH ada bad", "-WRONGPASS invalid username-password pair"},
		{"amr", "SELECT 1", "-ERR unknown command 'SELECT', with args beginning with: '1' "},
		{"amr", "RESET", "-ERR unknown command 'RESET', with args beginning with: "},
		{"redis", "AUTH ada bad", "-WRONGPASS invalid username-password pair or user is disabled."},
		{"redis", "RESET", "+RESET"},
	} {
		t.Run(row.flavor+" "+row.line, func(t *testing.T) {
			r := newRig(t, front.Config{Flavor: row.flavor})
			r.dial(t).do(row.line, row.want)
		})
	}
}

func TestAuthenticated(t *testing.T) {
	r := newRig(t, front.Config{})
	c := r.listen(t)
	c.login(owner)
	c.do("SET a 1", "+OK")
	c.do("GET a", "$1\r\n1")
	c.do("ACL WHOAMI", "$3\r\nada")
	c.do("AUTH ada bad", "-ERR WRONGPASS invalid username-password pair")
	c.do("GET a", "$1\r\n1") // the old identity stays
	c.send("AUTH", "bob", owner)
	c.want("+OK")
	c.do("ACL WHOAMI", "$3\r\nbob")
	c.raw("GET a\r\n  \r\nSET b 'x y'\r\nGET b\r\n") // inline
	c.want("$1\r\n1")
	c.want("+OK")
	c.want("$3\r\nx y")
	if got, want := r.Stats(), (front.Stats{Auths: 2, AuthsRefused: 1, Reauths: 1, Accepted: 1, Commands: 11, Connections: 1}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	conns := r.Conns()
	if len(conns) != 1 || conns[0].Username != "bob" || conns[0].AuthCount != 2 {
		t.Errorf("got %+v, want one connection of bob after 2 AUTHs", conns)
	}
	c.do("QUIT", "+OK")
	c.closed()
}

func TestHello(t *testing.T) {
	r := newRig(t, front.Config{})
	c := r.dial(t)
	c.send("HELLO", "3", "AUTH", "ada", owner, "SETNAME", "me")
	c.want("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.14\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0")
	c.do("CLIENT GETNAME", "$2\r\nme")
	c.do("CLIENT ID", ":1")
	c.do("GET nothing", "_")
	c.login(owner) // AUTH behind HELLO AUTH
	c.do("HELLO 2", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.14\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0")
	c.do("GET nothing", "$-1")
	c.do("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'")
}

func TestRefuseHello(t *testing.T) {
	r := newRig(t, front.Config{RefuseHello: func() bool { return true }})
	r.dial(t).do("HELLO 3", "-ERR unknown command `HELLO`, with args beginning with: `3`, ")
}

func TestUnauthenticatedLimits(t *testing.T) {
	long := strings.Repeat("x", 16385)
	r := newRig(t, front.Config{Flavor: "amr"})
	c := r.listen(t)
	c.do("DEL 1 2 3 4 5 6 7 8 9 10", "-ERR Protocol error: unauthenticated multibulk length")
	c.closed()
	c = r.listen(t)
	c.do("AUTH ada "+long, "-ERR Protocol error: unauthenticated bulk length")
	c.closed()
	c = r.listen(t)
	c.login(owner)
	c.do("SET a "+long, "+OK")
	// Redis 6.0, and so Azure Cache for Redis, has no such bounds.
	c = newRig(t, front.Config{}).listen(t)
	c.do("AUTH ada "+long, "-ERR WRONGPASS invalid username-password pair")
}

func TestProtocolError(t *testing.T) {
	r := newRig(t, front.Config{})
	c := r.listen(t)
	c.login(owner)
	c.raw("*1\r\n$4\r\nPING\r\n*1\r\nx")
	c.want("+PONG")
	c.want("-ERR Protocol error: expected '$', got 'x'")
	c.closed()
}

func TestReset(t *testing.T) {
	r := newRig(t, front.Config{Flavor: "redis"})
	c := r.dial(t)
	c.login(owner)
	c.do("SELECT 3", "+OK")
	c.do("MULTI", "+OK")
	c.do("CLIENT REPLY SKIP", "+QUEUED")
	c.do("RESET", "+RESET")
	c.do("GET a", "-NOAUTH Authentication required.")
	c.login(owner)
	c.do("SET a 1", "+OK")
	if !r.mini.DB(0).Exists("a") {
		t.Error("the key is not in database 0")
	}
}

func TestAuthFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fault func(context.Context, string) (string, bool)
		var commands []string
		r := newRig(t, front.Config{AuthFault: func(ctx context.Context, command string) (string, bool) {
			commands = append(commands, command)
			return fault(ctx, command)
		}})
		fault = func(context.Context, string) (string, bool) { return "ERR broken", false }
		c := r.dial(t)
		c.send("HELLO", "3", "AUTH", "ada", owner)
		c.want("-ERR broken")
		c.do("GET a", "-NOAUTH Authentication required.")
		fault = func(context.Context, string) (string, bool) { return "", true }
		c.send("AUTH", "ada", owner)
		c.closed()
		if got, want := strings.Join(commands, " "), "HELLO AUTH"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}

		ended := make(chan struct{})
		fault = func(ctx context.Context, _ string) (string, bool) {
			<-ctx.Done()
			close(ended)
			return "", false
		}
		c = r.dial(t)
		c.send("AUTH", "ada", owner)
		synctest.Wait()
		c.nc.Close() // a client that leaves ends the wait
		<-ended

		fault = func(ctx context.Context, _ string) (string, bool) {
			select {
			case <-ctx.Done():
			case <-time.After(11 * time.Second):
			}
			return "", false
		}
		start := time.Now()
		r.dial(t).login(owner)
		if got := time.Since(start); got != 11*time.Second {
			t.Errorf("AUTH took %v, want 11s", got)
		}
	})
}
