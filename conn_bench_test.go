package entraredis

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
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

// exchange is a write of a client, and what it gets in answer.
type exchange struct {
	name           string
	request, reply []byte
	commands       int // in request
}

func exchanges() []exchange {
	set := func(size int) exchange {
		return exchange{request: resp.AppendCommand(nil, "SET", "key:000000001", strings.Repeat("v", size)), reply: []byte("+OK\r\n"), commands: 1}
	}
	get := func(size int) exchange {
		return exchange{request: resp.AppendCommand(nil, "GET", "key:000000001"), reply: resp.AppendBulk(nil, bytes.Repeat([]byte("v"), size)), commands: 1}
	}
	named := func(name string, e exchange) exchange { e.name = name; return e }
	pipelined := func(e exchange, n int) exchange {
		return exchange{request: bytes.Repeat(e.request, n), reply: bytes.Repeat(e.reply, n), commands: n}
	}
	return []exchange{
		named("SET-3B", set(3)),
		named("GET-3B", get(3)),
		named("SET-1KiB", set(1<<10)),
		named("GET-1KiB", get(1<<10)),
		named("SET-16KiB", set(16<<10)),
		named("GET-16KiB", get(16<<10)),
		named("SET-3B-pipeline-16", pipelined(set(3), 16)),
		named("GET-3B-pipeline-16", pipelined(get(3), 16)),
	}
}

// BenchmarkConnOverhead is the time that a command and its reply spend in a
// connection of the Dialer, without any network: what an upstream that costs
// next to nothing takes by itself is subtracted.
func BenchmarkConnOverhead(b *testing.B) {
	for _, e := range exchanges() {
		b.Run(e.name, func(b *testing.B) {
			upstream := &canned{reply: e.reply}
			compare(b, upstream, idleConn(b, upstream), e, 2000)
		})
	}
}

// BenchmarkConnLoopback is the same over loopback TCP, where the ratio says
// what a client notices of it.
func BenchmarkConnLoopback(b *testing.B) {
	for _, e := range exchanges() {
		b.Run(e.name, func(b *testing.B) {
			compare(b, echoServer(b, len(e.request), e.reply), idleConn(b, echoServer(b, len(e.request), e.reply)), e, 50)
		})
	}
}

// compare runs the exchange over a bare connection and over one of the Dialer
// in turn, in rounds, and reports the medians of the rounds' ratios of times
// and of their differences. Rounds that lie next to each other meet the same
// noise. B/op and allocs/op are of both sides together.
func compare(b *testing.B, bare, through net.Conn, e exchange, round int) {
	var ratios, over, took []float64
	buf := make([]byte, len(e.reply))
	run := func(c net.Conn) float64 {
		start := time.Now()
		for range round {
			if _, err := c.Write(e.request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
		return float64(time.Since(start)) / float64(round*e.commands)
	}
	rounds := b.N/(2*round) + 1
	for _, s := range []*[]float64{&ratios, &over, &took} {
		*s = make([]float64, 0, rounds)
	}
	run(bare)
	run(through)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range rounds {
		var t [2]float64
		// Each goes first in every other round.
		for j := range t {
			if side := (i + j) % 2; side == 0 {
				t[0] = run(bare)
			} else {
				t[1] = run(through)
			}
		}
		ratios, over, took = append(ratios, t[1]/t[0]), append(over, t[1]-t[0]), append(took, t[0])
	}
	b.StopTimer()
	b.ReportMetric(median(took), "bare-ns/command")
	b.ReportMetric(median(over), "ns/command-over-bare")
	b.ReportMetric(median(ratios), "time-ratio")
	b.ReportMetric(0, "ns/op") // of both sides mixed it would mislead
}

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}

// echoServer answers each n bytes it gets with reply.
func echoServer(b *testing.B, n int, reply []byte) net.Conn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	// Accepted here, since closing the listener resets who still waits in it.
	server, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer server.Close()
		for buf := make([]byte, n); ; {
			if _, err := io.ReadFull(server, buf); err != nil {
				return
			}
			server.Write(reply)
		}
	}()
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
	return newConn(&Dialer{Source: s}, "tcp", "cache:1", upstream, tok, nil)
}
