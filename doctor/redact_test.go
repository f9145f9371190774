package doctor_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

func TestRedact(t *testing.T) {
	for _, tc := range []struct {
		name    string
		provoke func(p *patient)
		keep    []string // what must still be there
		hide    []string
	}{
		{"client ID as username", username(emulator.AppClientID),
			[]string{"<cache-1>.redis.cache.windows.net:6380", "WRONGPASS", "docs/errors.md#client-id-as-username", "AUTH <id-1> is", "https://sts.windows.net/<id-", "127.0.0.1"},
			[]string{emulator.AppClientID, emulator.AppObjectID, emulator.DefaultTenantID, "emulator.redis", "10.1.2.3"}},
		{"a user", func(p *patient) {
			p.as("ada")
			p.o.Username = emulator.UserUPN
		}, []string{"upn-as-username"}, []string{emulator.UserUPN, "ada", emulator.UserObjectID}},
		{"what the issuer repeats", func(p *patient) {
			s := p.settings()
			s.TenantID, s.ClientID, s.ClientSecret = foreignTenant, emulator.AppClientID, "x"
			p.use(credential.ClientSecret, s)
		}, []string{"Tenant '<id-1>' not found"}, []string{foreignTenant}},
		{"certificate for another host", setFault(emulator.Fault{Endpoint: "redis-tls", Certificate: emulator.CertificateOtherName}),
			[]string{"the certificate is for <cache-", "docs/errors.md#tls-name"}, []string{"other.redis", "emulator.redis"}},
		{"the chain of aliases", dnsRecords(alias(cacheName, privateName), alias(privateName, regionName), address(regionName, "203.0.113.9")),
			[]string{"aliases", "<cache-1>.redis.cache.windows.net -> <cache-1>.privatelink.redis.cache.windows.net -> <name-1> -> <address-1> (public)",
				"zone privatelink.redis.cache.windows.net is not linked", "forward redis.cache.windows.net to"},
			[]string{"emulator.", "cache-1.westeurope", "cloudapp", "203.0.113"}},
		{"a name of one's own", func(p *patient) {
			dial := p.o.NetDial
			p.o.Addr, p.o.ServerName, p.o.NetDial = "cache.contoso.example:6380", p.Host(), dial
			p.o.Resolver = resolver{addrs: []netip.Addr{netip.MustParseAddr("2001:db8::7")}, alias: "emulator.privatelink.redis.cache.windows.net."}
		}, []string{"<name-1>:6380", "<address-1>"}, []string{"contoso", "2001:db8", "emulator."}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t), true)
			tc.provoke(p)
			p.o.Redact = true
			report, text := p.run(context.Background())
			var asJSON strings.Builder
			enc := json.NewEncoder(&asJSON)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(report); err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{text, asJSON.String()} {
				for _, part := range tc.keep {
					if !strings.Contains(out, part) {
						t.Errorf("lacks %q:\n%s", part, out)
					}
				}
				for _, part := range tc.hide {
					if strings.Contains(out, part) {
						t.Errorf("holds %q:\n%s", part, out)
					}
				}
			}
			p.searchForSecrets(text, asJSON.String())
		})
	}
}
