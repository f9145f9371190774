package doctor_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

const (
	cacheName   = "emulator.redis.cache.windows.net."
	privateName = "emulator.privatelink.redis.cache.windows.net."
	regionName  = "cache-1.westeurope.cloudapp.example."
)

// dnsQuery is a question and the way it came by.
type dnsQuery struct {
	dnsmessage.Question
	id      uint16
	network string // "udp" or "tcp"
}

// reply is the answer to the question, with records in this order.
func (q dnsQuery) reply(records ...dnsmessage.Resource) dnsmessage.Message {
	return dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q.Question},
		Answers:   records,
	}
}

func packed(t *testing.T, m dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		t.Errorf("pack %v: %v", m.Questions, err)
	}
	return b
}

func alias(name, of string) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 60},
		Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(of)},
	}
}

func address(name, addr string) dnsmessage.Resource {
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 60}}
	if a := netip.MustParseAddr(addr); a.Is4() {
		r.Body = &dnsmessage.AResource{A: a.As4()}
	} else {
		r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
	}
	return r
}

// chaos moves a record to a class in which nobody asked.
func chaos(r dnsmessage.Resource) dnsmessage.Resource {
	r.Header.Class = dnsmessage.ClassCHAOS
	return r
}

// records answers with the records that fit the question, as a recursive
// resolver does: aliases always, addresses to who asks for them.
func records(t *testing.T, all ...dnsmessage.Resource) func(dnsQuery) [][]byte {
	return func(q dnsQuery) [][]byte { return [][]byte{packed(t, q.reply(fitting(q, all)...))} }
}

func fitting(q dnsQuery, all []dnsmessage.Resource) (fit []dnsmessage.Resource) {
	for _, r := range all {
		kind := dnsmessage.TypeCNAME
		switch r.Body.(type) {
		case *dnsmessage.AResource:
			kind = dnsmessage.TypeA
		case *dnsmessage.AAAAResource:
			kind = dnsmessage.TypeAAAA
		}
		if kind == dnsmessage.TypeCNAME || kind == q.Type {
			fit = append(fit, r)
		}
	}
	return fit
}

// serveDNS serves DNS on loopback for as long as the test runs, and returns a
// resolver that asks there. What answer returns is sent message by message.
// Names but the cache's do not exist: package net may try search domains.
func serveDNS(t *testing.T, answer func(dnsQuery) [][]byte) *net.Resolver {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	respond := func(network string, query []byte) [][]byte {
		var p dnsmessage.Parser
		header, err := p.Start(query)
		if err != nil {
			t.Errorf("query: %v", err)
			return nil
		}
		question, err := p.Question()
		if err != nil {
			t.Errorf("question: %v", err)
			return nil
		}
		q := dnsQuery{question, header.ID, network}
		if !strings.EqualFold(q.Name.String(), cacheName) {
			m := q.reply()
			m.RCode = dnsmessage.RCodeNameError
			return [][]byte{packed(t, m)}
		}
		return answer(q)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		serving.Wait()
	})
	serving.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			for _, m := range respond("udp", b[:n]) {
				_, _ = packets.WriteTo(m, from) // who asked may be gone
			}
		}
	})
	serving.Go(func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				var length [2]byte
				for {
					if _, err := io.ReadFull(conn, length[:]); err != nil {
						return
					}
					query := make([]byte, binary.BigEndian.Uint16(length[:]))
					if _, err := io.ReadFull(conn, query); err != nil {
						return
					}
					for _, m := range respond("tcp", query) {
						if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
							return
						}
					}
				}
			})
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if strings.HasPrefix(network, "udp") {
			return (&net.Dialer{}).DialContext(ctx, "udp", packets.LocalAddr().String())
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", streams.Addr().String())
		return trickle{conn}, err
	}}
}

// trickle is a connection that gives one byte at a time.
type trickle struct{ net.Conn }

func (c trickle) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(1, len(b))]) }

// aliasesOf returns the chain that the host check showed.
func aliasesOf(report *doctor.Report) (fact doctor.Fact) {
	for _, f := range report.Checks[0].Facts {
		if f.Name == "aliases" {
			return f
		}
	}
	return doctor.Fact{}
}

func TestAliases(t *testing.T) {
	const shown, private, region = "emulator.redis.cache.windows.net", "emulator.privatelink.redis.cache.windows.net", "cache-1.westeurope.cloudapp.example"
	whole := []dnsmessage.Resource{alias(cacheName, privateName), alias(privateName, regionName), address(regionName, "10.1.2.3")}
	inWhole := []string{shown, private, region, "10.1.2.3"}
	elsewhere := []dnsmessage.Resource{alias(cacheName, "trap.example."), alias("trap.example.", "trap.two.example."),
		alias("trap.two.example.", "trap.three.example."), address("trap.three.example.", "10.66.6.6")}
	plain := []dnsmessage.Resource{address(cacheName, "10.1.2.3")}
	long, inLong := []dnsmessage.Resource{alias(cacheName, "n0.example.")}, []string{shown, "n0.example"}
	for i := range 20 {
		long = append(long, alias(fmt.Sprintf("n%d.example.", i), fmt.Sprintf("n%d.example.", i+1)))
		inLong = append(inLong, fmt.Sprintf("n%d.example", i+1))
	}
	long = append(long, address("n20.example.", "10.1.2.3"))

	for _, tc := range []struct {
		name   string
		answer func(dnsQuery) [][]byte
		list   []string
		value  string // a part of it
	}{
		{"two links", records(t, whole...), inWhole,
			shown + " -> " + private + " -> " + region + " -> 10.1.2.3 (private)"},
		{"no link", records(t, plain...), nil, ""},
		{"in any case and order", records(t, address(strings.ToUpper(regionName), "10.1.2.3"), alias(strings.ToUpper(privateName), regionName), alias(strings.ToUpper(cacheName), privateName)),
			inWhole, "(private)"},
		{"truncated over UDP", func(q dnsQuery) [][]byte {
			if q.network == "tcp" {
				return records(t, whole...)(q)
			}
			m := q.reply(fitting(q, elsewhere)...)
			m.Truncated = true
			return [][]byte{packed(t, m)}
		}, inWhole, "(private)"},
		{"garbage before the answer", func(q dnsQuery) [][]byte {
			if q.network == "tcp" {
				return records(t, whole...)(q)
			}
			query, other := q.reply(elsewhere...), q.reply(elsewhere...)
			query.Response = false
			other.Questions[0].Type = dnsmessage.TypeTXT
			return append([][]byte{{}, {1}, []byte("GET / HTTP/1.1\r\n\r\n"), packed(t, query), packed(t, other)}, records(t, whole...)(q)...)
		}, inWhole, "(private)"},
		{"answer cut off", func(q dnsQuery) [][]byte {
			m := records(t, whole...)(q)
			if q.Type == dnsmessage.TypeCNAME {
				m[0] = m[0][:len(m[0])-3]
			}
			return m
		}, inWhole, "(private)"},
		{"answer for another name", func(q dnsQuery) [][]byte {
			other := q
			other.Name = dnsmessage.MustNewName("other.redis.cache.windows.net.")
			return append(records(t, alias("other.redis.cache.windows.net.", "trap.example."), alias(cacheName, "trap.example."))(other), records(t, plain...)(q)...)
		}, nil, ""},
		{"aliases of another name", records(t, alias("other.redis.cache.windows.net.", "trap.example."), address(cacheName, "10.1.2.3")), nil, ""},
		{"an alias in another class", records(t, chaos(alias(cacheName, "trap.example.")), address(cacheName, "10.1.2.3")), nil, ""},
		{"addresses of both kinds", records(t, alias(cacheName, regionName), address(regionName, "fd00::7"), address(regionName, "10.1.2.3")),
			[]string{shown, region, "10.1.2.3", "fd00::7"}, "10.1.2.3 (private), fd00::7 (private)"},
		{"loop", records(t, alias(cacheName, "a.example."), alias("a.example.", cacheName), address("b.example.", "10.1.2.3")),
			[]string{shown, "a.example", shown}, shown + " -> a.example -> " + shown + " -> no address"},
		{"alias of itself", records(t, alias(cacheName, cacheName), address(cacheName, "10.1.2.3")),
			[]string{shown, shown, "10.1.2.3"}, "10.1.2.3 (private)"},
		{"too long", records(t, long...), inLong[:17], "no address"},
		{"what moves a cursor", records(t, alias(cacheName, "a\x1b[2J.example."), address(cacheName, "10.1.2.3")), nil, ""},
		{"two addresses", records(t, alias(cacheName, regionName), address(regionName, "10.1.2.3"), address(regionName, "203.0.113.9")),
			[]string{shown, region, "10.1.2.3", "203.0.113.9"}, "10.1.2.3 (private), 203.0.113.9 (public)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t), false)
			p.o.Resolver = serveDNS(t, tc.answer)
			report, text := p.run(context.Background())
			if report.Status != doctor.OK {
				t.Errorf("status %s\n%s", report.Status, text)
			}
			if summary := report.Checks[0].Summary; !strings.Contains(summary, "10.1.2.3 (private)") {
				t.Errorf("summary %q", summary)
			}
			got := aliasesOf(report)
			if !slices.Equal(got.List, tc.list) || !strings.Contains(got.Value, tc.value) || tc.list == nil && got.Value != "" {
				t.Errorf("got %q %q\nwant %q, with %q", got.List, got.Value, tc.list, tc.value)
			}
			if strings.ContainsRune(text, 0x1b) {
				t.Errorf("an escape character in the output: %q", text)
			}
		})
	}
}

// Where the DNS servers answer a second time with something else, the chain is
// shown, and no conclusion is drawn from it for the addresses of the first.
func TestAliasesOfAnotherView(t *testing.T) {
	p := newPatient(t, emulator.RunT(t), false)
	var asked atomic.Int32
	p.o.Resolver = serveDNS(t, func(q dnsQuery) [][]byte {
		if q.Type == dnsmessage.TypeA && asked.Add(1) == 1 {
			return records(t, address(cacheName, "203.0.113.9"))(q)
		}
		return records(t, alias(cacheName, privateName), address(privateName, "10.1.2.3"))(q)
	})
	report, text := p.run(context.Background())
	if got := aliasesOf(report).Value; report.Status != doctor.OK || !strings.HasSuffix(got, privateName[:len(privateName)-1]+" -> 10.1.2.3 (private)") {
		t.Errorf("status %s, aliases %q\n%s", report.Status, got, text)
	}
}

// What is only to be shown must not cost the check its result.
func TestAliasesThatCannotBeLookedUp(t *testing.T) {
	private := netip.MustParseAddr("10.1.2.3")
	for _, tc := range []struct {
		name string
		dns  doctor.Resolver
		list []string
	}{
		{"a resolver that knows only where it ends", resolver{addrs: []netip.Addr{private}, alias: "end.example."}, []string{cacheName[:len(cacheName)-1], "end.example", "10.1.2.3"}},
		{"the name is its own", resolver{addrs: []netip.Addr{private}, alias: strings.ToUpper(cacheName)}, nil},
		{"what is no host name", resolver{addrs: []netip.Addr{private}, alias: "a\x1b[2J.example."}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t), false)
			p.o.Resolver = tc.dns
			report, text := p.run(context.Background())
			if got := aliasesOf(report).List; report.Status != doctor.OK || !slices.Equal(got, tc.list) {
				t.Errorf("status %s, aliases %q, want %q\n%s", report.Status, got, tc.list, text)
			}
		})
	}
}

// A DNS server that falls silent must not hold the check up for ever, nor fail
// it.
func TestAliasesOfASilentServer(t *testing.T) {
	answers := []dnsmessage.Resource{alias(cacheName, privateName), address(privateName, "10.1.2.3")}
	var asked [2]atomic.Int32 // for A, AAAA
	for _, tc := range []struct {
		name   string
		silent func(dnsQuery) bool
		links  int
	}{
		{"to the second lookup", func(q dnsQuery) bool {
			switch q.Type {
			case dnsmessage.TypeA:
				return asked[0].Add(1) > 1
			case dnsmessage.TypeAAAA:
				return asked[1].Add(1) > 1
			}
			return true
		}, 0},
		{"to questions for CNAME", func(q dnsQuery) bool { return q.Type == dnsmessage.TypeCNAME }, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t), false)
			p.o.ConnectTimeout = time.Second
			p.o.Resolver = serveDNS(t, func(q dnsQuery) [][]byte {
				if tc.silent(q) {
					return nil
				}
				return records(t, answers...)(q)
			})
			// Far above ConnectTimeout and below what package net waits by itself,
			// 10 s: a check that outlasts it is reported as skipped.
			ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
			defer cancel()
			report, text := p.run(ctx)
			if got := aliasesOf(report).List; report.Status != doctor.OK || len(got) != tc.links {
				t.Errorf("status %s, aliases %q, want %d\n%s", report.Status, got, tc.links, text)
			}
		})
	}
}

func TestAliasesAsJSON(t *testing.T) {
	p := newPatient(t, emulator.RunT(t), false)
	p.o.Resolver = serveDNS(t, records(t, alias(cacheName, privateName), address(privateName, "10.1.2.3")))
	report, _ := p.run(context.Background())
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"list":["emulator.redis.cache.windows.net","emulator.privatelink.redis.cache.windows.net","10.1.2.3"]`; strings.Count(string(data), `"list"`) != 1 || !strings.Contains(string(data), want) {
		t.Errorf("lacks %s:\n%s", want, data)
	}
}
