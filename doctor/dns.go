package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/entraredis/entraredis"
)

// privateLabel is in the name that a host with a private endpoint is an alias
// of, seen from anywhere (Microsoft Learn, "Azure Private Endpoint private DNS
// zone values").
const privateLabel = "privatelink"

// checkName looks the host up. what begins the summary.
func (x *exam) checkName(ctx context.Context, r *Result, what string) {
	ctx, cancel := context.WithTimeout(ctx, x.ConnectTimeout)
	defer cancel()
	addrs, err := x.Resolver.LookupNetIP(ctx, "ip", x.host)
	if err != nil || len(addrs) == 0 {
		r.say("%s; the name does not resolve", what)
		x.failLookup(ctx, r, err)
		return
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = addressText(a)
	}
	list := strings.Join(texts, ", ")
	r.fact("addresses", "%s", list)
	r.say("%s, port %s, at %s", what, x.port, list)

	c, heard := x.aliases(ctx)
	if !heard {
		c.addrs = addrs // all that is known of its end
	}
	x.showAliases(r, c)
	private := c.private()
	reached := publicOf(addrs)
	// Two lookups may end in different places, as on a machine whose own
	// lookup does not ask DNS alone. Then the chain says nothing of these
	// addresses.
	if private == "" || !reached.IsValid() || !c.leadsTo(addrs) {
		return
	}
	zone := zoneOf(private)
	r.warn(Finding{Kind: entraredis.KindUnreachable, Anchor: "private-zone",
		Observed: fmt.Sprintf("%s is an alias of %s and resolves to the public address %s", x.host, private, reached.Unmap()),
		Means:    fmt.Sprintf("the cache has a private endpoint, but the private DNS zone %s is not linked to this network; the public address answers only if the cache permits public network access", zone),
		Remedy: fmt.Sprintf("Link the private DNS zone %s to this machine's virtual network: in the portal Private DNS zones > the zone > Virtual network links, or az network private-dns link vnet create -g <group> -z %s -n <link> -v <vnet> -e false. "+
			"Outside of Azure, forward %s to a DNS resolver in that network. If the public address is the one to use, nothing is to be changed.", zone, zone, strings.TrimPrefix(zone, privateLabel+"."))})
}

// failLookup explains why there is no address; err is nil if the lookup just
// returned none.
func (x *exam) failLookup(ctx context.Context, r *Result, err error) {
	f := Finding{Kind: entraredis.KindUnreachable, Anchor: "no-such-host", Observed: "the lookup returned no address",
		Means:  "there is no such name, as this machine sees DNS",
		Remedy: "Compare the name with the cache's Overview page in the portal, or az redis show -g <group> -n <cache> --query hostName. A cache with a private endpoint needs its private DNS zone linked to this machine's virtual network."}
	if err != nil {
		f.Observed = err.Error()
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && !e.IsNotFound {
		f.Anchor = "dns-unreachable"
		f.Means = "the DNS server did not answer, so nothing is known of the name"
		f.Remedy = "Check the DNS servers of this machine (/etc/resolv.conf, the virtual network's DNS servers page) and the way to them: UDP and TCP port 53."
		r.fail(f)
		return
	}
	// A name without an address may still be an alias of another.
	c, _ := x.aliases(ctx)
	x.showAliases(r, c)
	if private := c.private(); private != "" && len(c.addrs) == 0 {
		zone := zoneOf(private)
		f.Anchor = "private-record"
		f.Observed = fmt.Sprintf("%s is an alias of %s, which has no address", x.host, private)
		f.Means = fmt.Sprintf("the cache has a private endpoint, and this network sees a private DNS zone %s that lacks its record", zone)
		f.Remedy = fmt.Sprintf("Have the private endpoint keep its record in the zone: in the portal the private endpoint > DNS configuration > Add configuration, or az network private-endpoint dns-zone-group create -g <group> --endpoint-name <endpoint> -n default --private-dns-zone %s --zone-name redis", zone)
	}
	r.fail(f)
}

// showAliases notes the chain, if there is one, link by link.
func (x *exam) showAliases(r *Result, c chain) {
	if len(c.names) < 2 {
		return
	}
	x.redactor.learn(c.names...)
	links := append([]string(nil), c.names...)
	ends := make([]string, len(c.addrs))
	for i, a := range c.addrs {
		links = append(links, a.Unmap().String())
		ends[i] = addressText(a)
	}
	if len(ends) == 0 {
		ends = []string{"no address"}
	}
	r.Facts = append(r.Facts, Fact{Name: "aliases", List: links,
		Value: strings.Join(append(c.names[:len(c.names):len(c.names)], strings.Join(ends, ", ")), " -> ")})
}

// zoneOf returns the zone of a private link name. In front of it is the
// cache's own name, of one label or, with a region, of two.
func zoneOf(name string) string {
	i := strings.Index(strings.ToLower(name), "."+privateLabel+".")
	return name[i+1:]
}

// addressText is an address and whether it is private or public.
func addressText(a netip.Addr) string {
	if isPrivate(a) {
		return a.Unmap().String() + " (private)"
	}
	return a.Unmap().String() + " (public)"
}

// publicOf returns the first public address; the zero Addr if there is none.
func publicOf(addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if !isPrivate(a) {
			return a
		}
	}
	return netip.Addr{}
}

func isPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}
