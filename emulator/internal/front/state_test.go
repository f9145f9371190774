package front_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/front"
	"github.com/entraredis/entraredis/internal/resp"
)

func TestMulti(t *testing.T) {
	c := newRig(t, front.Config{Flavor: "amr"}).dial(t)
	c.login(owner)
	c.do("MULTI", "+OK")
	c.do("SET a 1", "+QUEUED")
	c.send("AUTH", "bob", owner)
	c.want("+QUEUED")
	c.do("ACL WHOAMI", "+QUEUED")
	c.do("CLIENT SETNAME me", "+QUEUED")
	c.do("GET a", "+QUEUED")
	c.do("EXEC", "*5\r\n+OK\r\n+OK\r\n$3\r\nbob\r\n+OK\r\n$1\r\n1")
	c.do("CLIENT GETNAME", "$2\r\nme")

	c.do("MULTI", "+OK")
	c.do("AUTH ada bad", "+QUEUED")
	c.do("EXEC", "*1\r\n-WRONGPASS invalid username-password pair")
	c.do("ACL WHOAMI", "$3\r\nbob")

	c.do("MULTI", "+OK")
	c.do("ACL WHOAMI", "+QUEUED")
	c.do("DISCARD", "+OK")
	c.do("EXEC", "-ERR EXEC without MULTI")

	c.do("MULTI", "+OK")
	c.do("SET a 2", "+QUEUED")
	c.do("SHUTDOWN", "-ERR unknown command 'SHUTDOWN', with args beginning with: ")
	c.do("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
	c.do("GET a", "$1\r\n1")

	c.do("WATCH a", "+OK")
	c.login(owner) // a watch survives AUTH
	c.do("SET a 3", "+OK")
	c.do("MULTI", "+OK")
	c.do("ACL WHOAMI", "+QUEUED")
	c.do("EXEC", "*-1")
}

// What an AUTH inside a transaction changes must hold for what was sent with
// it in one piece.
func TestMultiPipelined(t *testing.T) {
	c := newRig(t, front.Config{}).dial(t)
	c.login(owner)
	var b []byte
	for _, words := range [][]string{{"MULTI"}, {"AUTH", "bob", "+@read;1h"}, {"EXEC"}, {"SET", "a", "1"}} {
		b = resp.AppendCommand(b, words...)
	}
	c.raw(string(b))
	c.want("+OK")
	c.want("+QUEUED")
	c.want("*1\r\n+OK")
	c.want("-NOPERM this user has no permissions to run the 'set' command or its subcommand")
}

func TestReplyModes(t *testing.T) {
	c := newRig(t, front.Config{Flavor: "redis"}).dial(t)
	c.login(owner)
	c.send("CLIENT", "REPLY", "OFF")
	c.send("AUTH", "bob", owner)
	c.send("SET", "a", "1")
	c.send("NOSUCH")
	c.do("CLIENT REPLY ON", "+OK")
	c.do("ACL WHOAMI", "$3\r\nbob")
	c.send("CLIENT", "REPLY", "SKIP")
	c.send("AUTH", "ada", owner)
	c.do("ACL WHOAMI", "$3\r\nada")
	c.send("CLIENT", "REPLY", "SKIP")
	c.send("GET", "a")
	c.do("GET a", "$1\r\n1")
	c.do("CLIENT REPLY FOO", "-ERR syntax error")
}

func TestSubscribedRESP2(t *testing.T) {
	for flavor, only := range map[string]string{
		"acr":   "(P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT",
		"redis": "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET",
	} {
		t.Run(flavor, func(t *testing.T) {
			r := newRig(t, front.Config{Flavor: flavor})
			c := r.dial(t)
			c.login(owner)
			c.raw("SUBSCRIBE a b\r\nAUTH x y\r\n") // in one piece: the state must be known in time
			c.want("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1")
			c.want("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2")
			c.want("-ERR Can't execute 'auth': only " + only + " are allowed in this context")
			c.do("HELLO 3", "-ERR Can't execute 'hello': only "+only+" are allowed in this context")
			r.mini.Publish("a", "x")
			c.want("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx")
			c.do("PING", "*2\r\n$4\r\npong\r\n$0\r\n")
			c.send("UNSUBSCRIBE")
			first, second := c.read(), c.read()
			if !strings.HasSuffix(first, ":1") || !strings.HasSuffix(second, ":0") {
				t.Errorf("got %q and %q, want two confirmations", first, second)
			}
			c.do("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0")
			c.login(owner)
		})
	}
}

func TestSubscribedRESP3(t *testing.T) {
	r := newRig(t, front.Config{})
	c := r.dial(t)
	c.send("HELLO", "3", "AUTH", "ada", owner)
	c.read()
	c.do("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1")
	c.login(owner)
	c.do("SET k v", "+OK")
	r.mini.Publish("a", "x")
	c.want(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx")
	c.do("ACL WHOAMI", "$3\r\nada")
	c.do("UNSUBSCRIBE", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0")
	c.do("GET k", "$1\r\nv")
}

// AUTH behind a blocked command runs, and is answered, after it.
func TestBlockedThenAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, front.Config{})
		c := r.dial(t)
		c.login(owner)
		c.send("BLPOP", "list", "0")
		c.send("AUTH", "bob", owner)
		c.send("ACL", "WHOAMI")
		synctest.Wait()
		if got, want := r.Stats().Auths, uint64(1); got != want {
			t.Errorf("got %d AUTHs while blocked, want %d", got, want)
		}
		r.mini.Push("list", "x")
		c.want("*2\r\n$4\r\nlist\r\n$1\r\nx")
		c.want("+OK")
		c.want("$3\r\nbob")
	})
}

// A client that leaves while its command blocks must not take an element.
func TestBlockedClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, front.Config{})
		c := r.dial(t)
		c.login(owner)
		c.send("BLPOP", "list", "0")
		c.send("AUTH", "bob", owner)
		synctest.Wait()
		c.nc.Close()
		synctest.Wait()
		if got := r.Stats().Connections; got != 0 {
			t.Errorf("got %d connections, want 0", got)
		}
	})
}

// states brings a connection into each state in which a token may expire.
var states = map[string]func(c *client){
	"unused": func(*client) {},
	"idle":   func(c *client) { c.do("SET a 1", "+OK") },
	"blocked": func(c *client) {
		c.send("BLPOP", "list", "0")
	},
	"blocked with AUTH behind it": func(c *client) {
		c.send("BLPOP", "list", "0")
		c.send("AUTH", "ada", owner)
	},
	"multi":      func(c *client) { c.do("MULTI", "+OK"); c.do("SET a 1", "+QUEUED") },
	"subscribed": func(c *client) { c.send("SUBSCRIBE", "a"); c.read() },
	"subscribed RESP3": func(c *client) {
		c.send("HELLO", "3")
		c.read()
		c.send("SUBSCRIBE", "a")
		c.read()
	},
	"half a command": func(c *client) { c.raw("*2\r\n$3\r\nGET\r\n") },
	"re-AUTH refused": func(c *client) {
		c.do("AUTH ada bad", "-ERR WRONGPASS invalid username-password pair")
	},
}

func TestExpiry(t *testing.T) {
	for name, enter := range states {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, front.Config{Grace: 5 * time.Second})
				c := r.dial(t)
				start := time.Now()
				c.login("Data Owner;60s")
				enter(c)
				c.closed()
				if got, want := time.Since(start), 65*time.Second; got != want {
					t.Errorf("closed after %v, want %v", got, want)
				}
				synctest.Wait()
				if got := r.Stats(); got.Expired != 1 || got.Connections != 0 {
					t.Errorf("got %+v, want 1 expired and none open", got)
				}
			})
		})
	}
}

func TestReauthProlongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, front.Config{})
		c := r.dial(t)
		start := time.Now()
		for range 5 {
			c.login("Data Owner;60s")
			<-time.After(50 * time.Second)
		}
		c.do("SET a 1", "+OK")
		c.closed()
		if got, want := time.Since(start), 260*time.Second; got != want {
			t.Errorf("closed after %v, want %v", got, want)
		}
	})
}

func TestExpireNow(t *testing.T) {
	r := newRig(t, front.Config{})
	short, long, none := r.listen(t), r.listen(t), r.listen(t)
	short.login("Data Owner;60s")
	long.login("Data Owner;2h")
	none.do("PING", "-NOAUTH Authentication required.")
	r.clock.advance(time.Minute)
	r.ExpireNow()
	if got := r.Stats(); got.Expired != 1 || got.Connections != 2 {
		t.Errorf("got %+v, want 1 expired and 2 open", got)
	}
	short.closed()
	long.do("PING", "+PONG")
	none.do("PING", "-NOAUTH Authentication required.")
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, front.Config{})
		var all []*client
		for _, enter := range states {
			c := r.dial(t)
			c.login(owner)
			enter(c)
			all = append(all, c)
		}
		all = append(all, r.dial(t))
		synctest.Wait()
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, c := range all {
			c.closed()
		}
		c := r.dial(t)
		c.closed()
		if got := r.Stats().Connections; got != 0 {
			t.Errorf("got %d connections, want 0", got)
		}
	})
}

// A client that writes everything before it reads anything must not stop the
// chain, which over a net.Pipe has no buffer of its own.
func TestLongPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRig(t, front.Config{}).dial(t)
		c.login(owner)
		const n = 3000
		for i := range n {
			c.send("ECHO", fmt.Sprint(i))
			if i%100 == 0 {
				c.send("ACL", "WHOAMI")
			}
		}
		for i := range n {
			s := fmt.Sprint(i)
			c.want(fmt.Sprintf("$%d\r\n%s", len(s), s))
			if i%100 == 0 {
				c.want("$3\r\nada")
			}
		}
	})
}
