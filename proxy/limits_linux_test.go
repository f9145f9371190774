package proxy_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// The same through the loop, before a real Redis, with clients that read nothing
// before they have sent everything.
func TestLimitsOverSockets(t *testing.T) {
	const limit = 100 << 10
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(mode.String(), func(t *testing.T) {
			redis := realRedis(t)
			p := &proxy.Proxy{Upstreams: mode, MaxCommand: limit, MaxReply: limit}
			s := &sockets{t, p, realDoor(t, p, func() (net.Conn, error) { return net.Dial("unix", redis) })}
			good := s.connect()
			half := strings.Repeat("v", limit/2)
			s.do(good, "+OK\r\n", "SET", "half", half)
			s.do(good, ":51200\r\n", "APPEND", "large", half)
			s.do(good, ":102400\r\n", "APPEND", "large", half)
			large := strings.Repeat("v", 32<<20)
			command := "-ERR entraredis: command of more than 102400 bytes (--max-command)\r\n"
			reply := "-ERR entraredis: reply of more than 102400 bytes (--max-reply)\r\n"
			tests := []struct {
				send []byte
				want []string
			}{
				{resp.AppendCommand(nil, "SET", "victim", large), []string{command}},
				{resp.AppendCommand(resp.AppendCommand(nil, "GET", "half"), "SET", "victim", large), []string{bulkOf(half), command}},
				{[]byte("*3\r\n$3\r\nSET\r\n$6\r\nvictim\r\n$200000\r\n"), []string{command}},
				{resp.AppendCommand(resp.AppendCommand(nil, "SUBSCRIBE", "c"), "SET", "victim", large), []string{"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", command}},
				{resp.AppendCommand(resp.AppendCommand(nil, "BLPOP", "none", "0.05"), "SET", "victim", large), []string{"*-1\r\n", command}},
				{resp.AppendCommand(nil, "GET", "large"), []string{reply}},
				{resp.AppendCommand(resp.AppendCommand(resp.AppendCommand(nil, "GET", "half"), "GET", "large"), "PING"), []string{bulkOf(half), reply}},
			}
			var all sync.WaitGroup
			for range 4 {
				for _, greeted := range []bool{false, true} {
					for _, tt := range tests {
						c := s.connect()
						all.Go(func() {
							if greeted { // so that the loop has it
								s.do(c, "+PONG\r\n", "PING")
							}
							c.Write(tt.send) // which may end early
							for _, want := range tt.want {
								if got, err := c.r.ReadFrame(); err != nil || string(got) != want {
									t.Errorf("%.50q: got %.100q, %v, want %.100q", tt.send, got, err, want)
									return
								}
							}
							if got, err := c.r.ReadFrame(); err == nil {
								t.Errorf("%.50q: got %.100q, want the end", tt.send, got)
							}
						})
					}
				}
			}
			for range 200 {
				s.do(good, "$-1\r\n", "GET", "victim")
			}
			all.Wait()
			s.becomes("all have left", func() bool { return s.Stats().Clients == 1 })
			if st := s.Stats(); st.OversizedCommands != 40 || st.OversizedReplies != 16 || st.PipesLost != 0 || st.CommandsLost != 0 {
				t.Errorf("got %+v", st)
			}
			s.do(good, "$-1\r\n", "GET", "victim")
		})
	}
}
