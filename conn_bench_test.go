package entraredis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis/internal/resp"
)

// canned is an upstream that takes anything and answers the same each time,
// so that a benchmark sees the cost of what lies in front of it.
type canned struct {
	net.Conn
	reply []byte
}

func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) Read(p []byte) (int, error)       { return copy(p, c.reply), nil }
func (c *canned) Close() error                     { return nil }
func (c *canned) RemoteAddr() net.Addr             { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkConnOverhead is the time that a command and its reply spend in a
// connection of the Dialer, without any network.
func BenchmarkConnOverhead(b *testing.B) {
	for _, size := range []int{3, 1024, 16 << 10} {
		value := strings.Repeat("v", size)
		command := resp.AppendCommand(nil, "SET", "key:000000001", value)
		upstream := &canned{reply: resp.AppendBulk(nil, []byte(value))}
		for _, through := range []string{"bare", "dialer"} {
			b.Run(fmt.Sprintf("%dB/%s", size, through), func(b *testing.B) {
				var c net.Conn = upstream
				if through == "dialer" {
					c = idleConn(b, upstream)
				}
				buf := make([]byte, 32<<10)
				b.ReportAllocs()
				for b.Loop() {
					c.Write(command)
					c.Read(buf)
				}
			})
		}
	}
}

// BenchmarkConnLoopback sends commands over loopback TCP, one at a time, bare
// and through a connection of the Dialer in turn, and reports the ratio of
// their throughputs.
func BenchmarkConnLoopback(b *testing.B) {
	for _, size := range []int{3, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			value := bytes.Repeat([]byte("v"), size)
			command := resp.AppendCommandBytes(nil, []byte("SET"), []byte("k"), value)
			reply := resp.AppendBulk(nil, value)
			bare := echoServer(b, len(command), reply)
			through := idleConn(b, echoServer(b, len(command), reply))
			var took [2]time.Duration
			const run = 50
			for range b.N/(2*run) + 1 {
				for i, c := range []net.Conn{bare, through} {
					start := time.Now()
					for range run {
						roundTrip(b, c, command, len(reply))
					}
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(took[0])/float64(took[1]), "throughput-ratio")
		})
	}
}

func roundTrip(b *testing.B, c net.Conn, command []byte, n int) {
	if _, err := c.Write(command); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		b.Fatal(err)
	}
}

// echoServer answers each n bytes it gets with reply.
func echoServer(b *testing.B, n int, reply []byte) net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for buf := make([]byte, n); ; {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			c.Write(reply)
		}
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// fixed is a credential with one token.
type fixed struct{}

func (fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "opaque", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// idleConn is a connection that has the newest token.
func idleConn(b *testing.B, upstream net.Conn) net.Conn {
	s, err := New(fixed{}, &Options{Username: "user"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	tok, err := s.Token(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return newConn(&Dialer{Source: s}, upstream, tok, nil)
}
