package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// RedisAudiences are the forms of the audience of a token for Redis: the
// resource's URL as azidentity and other libraries ask for it, and the ID of
// its application (AzureRedisCacheAadApp).
var RedisAudiences = []string{
	"https://redis.azure.com",
	"https://redis.azure.com/",
	"acca5fbb-b7e4-4009-81f1-37e38fd66d78",
}

// otherResources are known to the tenant as well: a token for the wrong
// resource is a real mistake, and it is Redis that has to refuse it.
var otherResources = []string{
	"https://management.azure.com", "https://management.core.windows.net", "https://graph.microsoft.com",
	"https://vault.azure.net", "https://storage.azure.com", "https://ossrdbms-aad.database.windows.net",
	"https://database.windows.net", "https://servicebus.azure.net", "https://eventhubs.azure.net",
	"00000003-0000-0000-c000-000000000000",
}

func knownResource(resource string) bool {
	return slices.Contains(RedisAudiences, resource) || slices.Contains(otherResources, strings.TrimSuffix(resource, "/"))
}

func stsIssuer(tenant string) string { return "https://sts.windows.net/" + tenant + "/" }

// Issuers are the iss claims a token of this tenant may have (v1.0 and v2.0
// tokens).
func (s *Issuer) Issuers() []string {
	return []string{stsIssuer(s.config.TenantID), "https://login.microsoftonline.com/" + s.config.TenantID + "/v2.0"}
}

// grant is what an access token is made from.
type grant struct {
	principal *Principal
	clientID  string // the application that asks; the principal's own for app-only tokens
	audience  string
	method    string // appidacr: "0" public client, "1" secret, "2" certificate or assertion
}

func (s *Issuer) lifetime(p *Principal) time.Duration {
	if p.TokenLifetime > 0 {
		return p.TokenLifetime
	}
	return s.config.TokenLifetime
}

// claims are those of a v1.0 access token: Redis is a resource of that kind.
// The token never lives shorter than promised, so its end is rounded up.
func (s *Issuer) claims(g grant) (claims map[string]any, expires time.Time) {
	p, now := g.principal, s.config.Now()
	end := now.Add(s.lifetime(p))
	expires = end.Truncate(time.Second)
	if expires.Before(end) {
		expires = expires.Add(time.Second)
	}
	c := map[string]any{
		"aud": g.audience, "iss": stsIssuer(s.config.TenantID), "idp": stsIssuer(s.config.TenantID),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(),
		"tid": s.config.TenantID, "oid": p.ObjectID, "sub": p.ObjectID, "ver": "1.0",
		"appid": g.clientID, "appidacr": g.method,
		"aio": opaque(16), "rh": "1." + opaque(24) + ".", "uti": opaque(16),
	}
	switch p.Kind {
	case KindUser:
		sum := sha256.Sum256([]byte(p.ObjectID + g.audience))
		c["sub"] = base64.RawURLEncoding.EncodeToString(sum[:])
		c["upn"], c["unique_name"], c["name"] = p.UPN, p.UPN, p.Name
		c["scp"], c["amr"], c["ipaddr"] = "user_impersonation", []string{"pwd"}, "127.0.0.1"
		c["puid"] = strings.ToUpper(hexOf(sum[:8]))
	case KindManagedIdentity:
		c["idtyp"], c["xms_mirid"] = "app", p.ResourceID
	default:
		c["idtyp"] = "app"
	}
	return c, expires
}

// sign issues an access token.
func (s *Issuer) sign(g grant) (token string, expires time.Time, err error) {
	claims, expires := s.claims(g)
	s.config.Change(claims)
	token, err = s.config.Key.Sign(claims)
	if err == nil {
		s.issued.Add(1)
		s.config.Logger.Debug("issued token", "principal", g.principal.Name, "audience", g.audience, "expires", expires)
	}
	return token, expires, err
}

// Mint signs a token for the named principal with the claims changed at will;
// change may be nil. ok is false if there is no such principal.
func (s *Issuer) Mint(name string, change func(claims map[string]any)) (token string, ok bool, err error) {
	p := s.find(func(p *Principal) bool { return p.Name == name })
	if p == nil {
		return "", false, nil
	}
	g := grant{principal: p, clientID: p.ClientID, audience: RedisAudiences[0], method: "1"}
	switch p.Kind {
	case KindUser:
		g.clientID, g.method = azureCLI, "0"
	case KindManagedIdentity:
		g.method = "2"
	}
	claims, _ := s.claims(g)
	if change != nil {
		change(claims)
	}
	token, err = s.config.Key.Sign(claims)
	return token, true, err
}

// refreshAudience marks refresh tokens. Entra's are opaque; these are signed,
// so that nothing needs to be remembered.
const refreshAudience = "urn:entraredis:refresh"

func (s *Issuer) refreshToken(g grant) (string, error) {
	return s.config.Key.Sign(map[string]any{
		"aud": refreshAudience, "oid": g.principal.ObjectID, "azp": g.clientID, "sub": g.audience,
		"exp": s.config.Now().Add(90 * 24 * time.Hour).Unix(), "jti": opaque(12),
	})
}

func (s *Issuer) idToken(g grant, issuer string) (string, error) {
	now := s.config.Now()
	p := g.principal
	return s.config.Key.Sign(map[string]any{
		"aud": g.clientID, "iss": issuer, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"tid": s.config.TenantID, "oid": p.ObjectID, "sub": p.ObjectID, "ver": "2.0",
		"name": p.Name, "preferred_username": p.UPN,
	})
}

func clientInfo(oid, tenant string) string {
	b, _ := json.Marshal(map[string]string{"uid": oid, "utid": tenant})
	return base64.RawURLEncoding.EncodeToString(b)
}
