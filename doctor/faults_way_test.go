package doctor_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

func setFault(f emulator.Fault) func(*patient) {
	return func(p *patient) { p.SetFault(f) }
}

// reply has Redis answer a command with RESP of the row's own.
func reply(command, resp string) func(*patient) {
	return setFault(emulator.Fault{Endpoint: "redis-command", Command: command, Reply: resp})
}

func dialError(err error) func(*patient) {
	return func(p *patient) {
		p.o.NetDial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
		}
	}
}

// dnsRecords has the cache's name looked up in a DNS server with these records.
// That is of sockets, which do not fit into a bubble of testing/synctest.
func dnsRecords(all ...dnsmessage.Resource) func(*patient) {
	return func(p *patient) { p.o.Resolver = serveDNS(p.t, records(p.t, all...)) }
}

// wayFaults are on the way to the cache.
var wayFaults = []fault{
	{name: "host name does not exist", check: "host", anchor: "no-such-host", remedy: "az redis show",
		provoke: func(p *patient) {
			p.o.Resolver = resolver{err: &net.DNSError{Err: "no such host", Name: p.Host(), IsNotFound: true}}
		}},
	{name: "DNS server silent", check: "host", anchor: "dns-unreachable", remedy: "port 53",
		provoke: func(p *patient) {
			p.o.Resolver = resolver{err: &net.DNSError{Err: "i/o timeout", Name: p.Host(), Server: "10.0.0.53:53", IsTimeout: true}}
		}},
	{name: "Enterprise tier", check: "host", anchor: "no-entra", remedy: "Azure Managed Redis",
		provoke: func(p *patient) { p.o.Addr = "example.westeurope.redisenterprise.cache.azure.net" }},
	{name: "private endpoint seen from outside", sockets: true, check: "host", status: doctor.Warning, anchor: "private-zone", remedy: "az network private-dns link vnet create -g <group> -z privatelink.redis.cache.windows.net",
		provoke: dnsRecords(alias(cacheName, privateName), alias(privateName, regionName), address(regionName, "203.0.113.9"))},
	{name: "private endpoint with a region, seen from outside", sockets: true, check: "host", status: doctor.Warning, anchor: "private-zone", remedy: "Link the private DNS zone privatelink.redis.azure.net to",
		provoke: dnsRecords(alias(cacheName, "example.westeurope.privatelink.redis.azure.net."), address("example.westeurope.privatelink.redis.azure.net.", "203.0.113.9"))},
	{name: "private endpoint seen from outside, end of the chain only", check: "host", status: doctor.Warning, anchor: "private-zone", remedy: "Link the private DNS zone privatelink.redis.cache.windows.net",
		provoke: func(p *patient) {
			p.o.Resolver = resolver{addrs: []netip.Addr{netip.MustParseAddr("203.0.113.9")}, alias: privateName}
		}},
	{name: "private DNS zone without the record", sockets: true, check: "host", anchor: "private-record", remedy: "--private-dns-zone privatelink.redis.cache.windows.net",
		provoke: dnsRecords(alias(cacheName, privateName))},
	{name: "port of the other product", check: "host", status: doctor.Warning, anchor: "wrong-port", remedy: "Use port 6380.",
		provoke: func(p *patient) { p.o.Addr += ":10000" }},
	{name: "port closed", sockets: true, check: "tcp", anchor: "connection-refused", remedy: "restarts its nodes",
		provoke: func(p *patient) {
			p.give("token", static(azcore.AccessToken{Token: p.Mint("app", nil), ExpiresOn: time.Now().Add(time.Hour)}))
			if err := p.Close(); err != nil {
				p.t.Error(err)
			}
		}},
	{name: "packets vanish", check: "tcp", anchor: "connection-timeout", remedy: "Networking page: allow this machine's address", within: 35 * time.Second,
		provoke: func(p *patient) {
			p.o.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
			}
		}},
	{name: "no route", check: "tcp", anchor: "no-route", remedy: "route table", provoke: dialError(syscall.EHOSTUNREACH)},
	{name: "reset when connecting", check: "tcp", anchor: "connection-reset", remedy: "firewall rules", provoke: dialError(syscall.ECONNRESET)},
	{name: "port without TLS", sockets: true, options: emulator.Options{Plaintext: true}, check: "tls", anchor: "plain-port", remedy: "Use the TLS port of Azure Cache for Redis, 6380",
		provoke: func(p *patient) { p.o.Plaintext = false }},
	{name: "TCP reset behind connecting", sockets: true, check: "tls", anchor: "tls-reset", remedy: "let this host name pass",
		provoke: setFault(emulator.Fault{Endpoint: "redis-accept", Reset: true})},
	{name: "TCP reset at the TLS hello", sockets: true, check: "tls", anchor: "tls-reset", remedy: "let this host name pass",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", Reset: true})},
	{name: "silent behind connecting", sockets: true, check: "tls", anchor: "tls-timeout", remedy: "openssl s_client",
		provoke: func(p *patient) {
			p.o.ConnectTimeout = 200 * time.Millisecond
			p.SetFault(emulator.Fault{Endpoint: "redis-accept", Hang: true})
		}},
	{name: "certificate for another host", sockets: true, check: "tls", anchor: "tls-name", remedy: "Connect by the cache's own host name",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", Certificate: emulator.CertificateOtherName})},
	{name: "address instead of host name", sockets: true, check: "tls", anchor: "node-address", remedy: "Give the cache's host name",
		provoke: func(p *patient) { p.o.Addr = p.RedisAddr() }},
	{name: "certificate expired", sockets: true, check: "tls", anchor: "certificate-expired", remedy: "Azure replaces its certificates",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", Certificate: emulator.CertificateExpired})},
	{name: "certificate not yet valid", sockets: true, check: "tls", anchor: "certificate-not-yet-valid", remedy: "Set the clock of this machine right",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", Certificate: emulator.CertificateFuture})},
	{name: "TLS 1.1 only", sockets: true, check: "tls", anchor: "tls-version", remedy: "Azure takes TLS 1.2 and 1.3",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", TLSVersion: tls.VersionTLS11})},
	{name: "certificate of an unknown CA", sockets: true, check: "tls", anchor: "unknown-authority", remedy: "ca-certificates",
		provoke: setFault(emulator.Fault{Endpoint: "redis-tls", Certificate: emulator.CertificateUnknownCA})},
}
