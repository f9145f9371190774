package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

// counters is a Redis that knows INCR and GET, and applies an increment so many times.
type counters struct {
	apply int

	mu    sync.Mutex
	value map[string]int
}

func (c *counters) serve(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c.value = map[string]int{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.answer(conn)
		}
	}()
	return l.Addr().String()
}

func (c *counters) answer(conn net.Conn) {
	defer conn.Close()
	r := resp.NewReader(conn)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		c.mu.Lock()
		key := string(args[1])
		var reply string
		if strings.EqualFold(string(args[0]), "INCR") {
			reply = ":" + strconv.Itoa(c.value[key]+1) + "\r\n"
			c.value[key] += c.apply
		} else {
			n := strconv.Itoa(c.value[key])
			reply = "$" + strconv.Itoa(len(n)) + "\r\n" + n + "\r\n"
		}
		c.mu.Unlock()
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}

// A fault that is not seen would make every run pass.
func TestAccounts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		apply int
		want  string // in the first harm
	}{{"right", 1, ""}, {"lost", 0, "lost"}, {"twice", 2, "increments"}} {
		t.Run(tt.name, func(t *testing.T) {
			c := &counters{apply: tt.apply}
			addr := c.serve(t)
			l := newFaultLoad(addr)
			l.settle()
			for i := range l.clients {
				for range 3 {
					if err := l.clients[i].increment(addr); err != nil {
						t.Fatal(err)
					}
					l.clients[i].behind++
				}
				l.clients[i].hangUp()
			}
			var r result
			if err := l.judge(&r, addr, true); err != nil {
				t.Fatal(err)
			}
			if r.acked != 3*loadClients || r.unsure != 0 {
				t.Errorf("%d acked, %d unsure", r.acked, r.unsure)
			}
			if tt.want == "" && len(r.harm) > 0 {
				t.Errorf("harm: %s", r.harm)
			}
			if tt.want != "" && (len(r.harm) == 0 || !strings.Contains(strings.Join(r.harm, "\n"), tt.want)) {
				t.Errorf("harm %q, want it to say %q", r.harm, tt.want)
			}
		})
	}
}

func TestClientThatDoesNotRecover(t *testing.T) {
	c := &counters{apply: 1}
	addr := c.serve(t)
	l := newFaultLoad("unused")
	for i := range l.clients[1:] {
		l.clients[i+1].behind = 1
	}
	l.clients[1].failed, l.clients[1].errs = 1, []string{"reset"}
	var r result
	if err := l.judge(&r, addr, true); err != nil {
		t.Fatal(err)
	}
	if len(r.harm) != 2 || !strings.Contains(r.harm[0], "counter:0 has not recovered") || !strings.Contains(r.harm[1], "counter:1 failed 1 times: reset") {
		t.Errorf("harm %q", r.harm)
	}
}

func TestFaultModes(t *testing.T) {
	c := faultsCommand()
	if got := c.Flags().Lookup("upstreams").DefValue; got != "[dedicated,shared]" {
		t.Errorf("by default %s", got)
	}
	for modes, want := range map[string]string{"auto": "", "dedicated,shared,auto": "", "auto,own": `--upstreams: there is no "own", only dedicated, shared, auto`} {
		c := faultsCommand()
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetArgs([]string{"--upstreams", modes, "--faults", "^none is called so$"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing is built
		err := c.ExecuteContext(ctx)
		if refused := err != nil && strings.HasPrefix(err.Error(), "--upstreams"); refused != (want != "") || refused && err.Error() != want {
			t.Errorf("%s: got %v, want %q", modes, err, want)
		}
	}
}

func TestHeldRelay(t *testing.T) {
	c := &counters{apply: 1}
	r, err := startRelay(c.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var a, b incrementer
	a.key, b.key = "a", "b"
	if err := a.increment(r.addr()); err != nil {
		t.Fatal(err)
	}
	end := r.hold()
	if err := b.increment(r.addr()); err != nil {
		t.Fatalf("a new connection: %v", err)
	}
	if _, err := a.conn.Write(resp.AppendCommand(nil, "INCR", "a")); err != nil {
		t.Fatal(err)
	}
	end()
	if n, err := a.conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v from a connection that was held", n, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value["a"] != 1 || c.value["b"] != 1 {
		t.Errorf("got %v, want 1 each", c.value)
	}
	a.hangUp()
	b.hangUp()
}
