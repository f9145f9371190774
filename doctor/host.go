package doctor

import (
	"context"
	"fmt"
	"net"
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

// PublishesMaintenance reports whether a host name is that of a cache that
// announces maintenance on the channel AzureRedisEvents: Azure Managed Redis does
// not.
func PublishesMaintenance(host string) bool {
	p := productOf(host)
	return p != nil && p.name == cacheForRedis
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
	x.checkName(ctx, r, what)
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
