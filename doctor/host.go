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

// product is a service with host names of its own.
type product struct {
	suffix, name, cloud string
	port                string // with TLS
	plain               string // without
}

const (
	cacheForRedis = "Azure Cache for Redis"
	managedRedis  = "Azure Managed Redis"
	enterprise    = "Azure Cache for Redis Enterprise"
)

// products are the DNS suffixes of Microsoft Learn's migration guide and of
// StackExchange.Redis's options providers, longest first where one ends in
// another.
var products = []product{
	{".redis.cache.windows.net", cacheForRedis, "public", "6380", "6379"},
	{".redis.cache.chinacloudapi.cn", cacheForRedis, "China", "6380", "6379"},
	{".redis.cache.usgovcloudapi.net", cacheForRedis, "US Government", "6380", "6379"},
	{".redis.cache.sovcloud-api.de", cacheForRedis, "sovereign (DE)", "6380", "6379"},
	{".redis.cache.sovcloud-api.fr", cacheForRedis, "sovereign (FR)", "6380", "6379"},
	{".redisenterprise.cache.azure.net", enterprise, "public", "10000", ""},
	{".redis.azure.net", managedRedis, "public", "10000", ""},
	{".redis.chinacloudapi.cn", managedRedis, "China", "10000", ""},
	{".redis.usgovcloudapi.net", managedRedis, "US Government", "10000", ""},
	{".redis.sovcloud-api.de", managedRedis, "sovereign (DE)", "10000", ""},
	{".redis.sovcloud-api.fr", managedRedis, "sovereign (FR)", "10000", ""},
	{".redis.sovcloud-api.sg", managedRedis, "sovereign (SG)", "10000", ""},
}

func productOf(host string) *product {
	for i := range products {
		if strings.HasSuffix(strings.ToLower(host), products[i].suffix) {
			return &products[i]
		}
	}
	return nil
}

// nodePort reports whether a port is one of those on which the product's nodes
// listen with TLS: 150XX, 85XX for Azure Managed Redis.
func (p *product) nodePort(port string) bool {
	if p.name == cacheForRedis {
		return len(port) == 5 && strings.HasPrefix(port, "150")
	}
	return len(port) == 4 && strings.HasPrefix(port, "85")
}

func checkHost(ctx context.Context, x *exam, r *Result) {
	what := "not a name of an Azure cache"
	if p := x.product; p != nil {
		what = fmt.Sprintf("%s (%s cloud)", p.name, p.cloud)
		r.fact("product", "%s", p.name)
		r.fact("cloud", "%s", p.cloud)
	}
	r.fact("port", "%s", x.port)
	r.say("%s, port %s", what, x.port)
	if p := x.product; p != nil && p.name == enterprise {
		r.fail(Finding{Kind: entraredis.KindNotAssigned, Anchor: "no-entra",
			Observed: fmt.Sprintf("the name ends in %q", p.suffix),
			Means:    "this is an Enterprise tier of Azure Cache for Redis, which has no Microsoft Entra authentication",
			Remedy:   "Move to Azure Managed Redis, which has it (the Enterprise tiers are retired on 31 March 2027), or use access keys until then."})
		return
	}
	x.checkPort(r)
	if ip := net.ParseIP(x.host); ip != nil {
		r.fact("address", "%s", ip)
		r.say("%s, an IP address: the certificate must hold %q", what, x.serverName())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, x.ConnectTimeout)
	defer cancel()
	addrs, err := x.Resolver.LookupNetIP(ctx, "ip", x.host)
	if err != nil || len(addrs) == 0 {
		r.say("%s; the name does not resolve", what)
		x.failLookup(r, err)
		return
	}
	alias, _ := x.Resolver.LookupCNAME(ctx, x.host) // only to be shown
	alias = strings.TrimSuffix(alias, ".")
	list, private := make([]string, len(addrs)), true
	for i, a := range addrs {
		list[i] = a.Unmap().String()
		private = private && isPrivate(a)
	}
	where := "public"
	if private {
		where = "private"
	}
	r.fact("addresses", "%s (%s)", strings.Join(list, ", "), where)
	r.say("%s, port %s, at %s (%s)", what, x.port, strings.Join(list, ", "), where)
	if alias != "" && !strings.EqualFold(alias, x.host) {
		r.fact("canonical name", "%s", alias)
	}
	if strings.Contains(alias, ".privatelink.") && !private {
		r.warn(Finding{Kind: entraredis.KindUnreachable, Anchor: "private-zone",
			Observed: fmt.Sprintf("%s is an alias of %s and resolves to the public address %s", x.host, alias, list[0]),
			Means:    "the cache has a private endpoint, but this machine does not see the private DNS zone; the public address may refuse",
			Remedy:   fmt.Sprintf("Link the private DNS zone %s to this machine's virtual network, or forward that zone to Azure DNS; in the portal: the private endpoint > DNS configuration.", zoneOf(alias))})
	}
}

// checkPort warns of a port that cannot be right for the product. A warning
// only: a forwarder may listen anywhere.
func (x *exam) checkPort(r *Result) {
	p := x.product
	if p == nil || x.port == p.port || p.nodePort(x.port) {
		return
	}
	means := fmt.Sprintf("%s listens with TLS on %s", p.name, p.port)
	if x.port == p.plain {
		means = fmt.Sprintf("this is the port without TLS, over which no Entra token is accepted; %s", means)
	}
	r.warn(Finding{Kind: entraredis.KindUnreachable, Anchor: "wrong-port",
		Observed: "port " + x.port, Means: means,
		Remedy: fmt.Sprintf("Use port %s.", p.port)})
}

// zoneOf returns the zone of a private link name: all behind the first label.
func zoneOf(name string) string {
	_, zone, _ := strings.Cut(name, ".")
	return zone
}

func (x *exam) failLookup(r *Result, err error) {
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
	}
	r.fail(f)
}

func isPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}
