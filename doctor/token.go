package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

// audiences are those of tokens for Redis: what the two forms of the scope
// lead to, with and without slash.
var audiences = []string{"https://redis.azure.com", "https://redis.azure.com/", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"}

const (
	// issuerTimeout bounds the question for the issuer's time, which the rest
	// does not depend on.
	issuerTimeout = 2 * time.Second
	// skewWarned is a difference of clocks worth a word: certificates, tokens
	// and assertions are commonly granted five minutes.
	skewWarned = time.Minute
	skewFailed = 5 * time.Minute
)

func checkToken(ctx context.Context, x *exam, r *Result) {
	x.compareClocks(ctx, r)
	raw := x.seen.newest()
	c, err := jwt.Read(raw.Token)
	now := time.Now()
	if err != nil {
		if x.tokenErr != nil {
			r.say("the token cannot be used")
			r.fail(Finding{Kind: entraredis.KindInvalidToken, Observed: err.Error(), Means: "what the credential returned is no token with claims, so there is no object ID to use as username"})
			return
		}
		r.say("an opaque token, used with the username %q", x.token.Username)
		return
	}
	x.redactor.learn(c.Name, c.UPN, c.ObjectID, c.AppID, c.TenantID)
	x.showClaims(r, c, raw.ExpiresOn, now)
	if f := x.clockFinding(c, raw.ExpiresOn, now); f != nil {
		r.say("the times of the token cannot be right")
		r.fail(*f)
		return
	}
	if f := x.claimsFinding(c); f != nil {
		r.say("the token is not one for this cache")
		r.fail(*f)
		return
	}
	if x.tokenErr != nil {
		f := tokenFinding(x.tokenErr)
		f.Means = "the credential returned something that cannot be used"
		r.say("the token cannot be used")
		r.fail(f)
		return
	}
	left := x.token.ExpiresOn.Sub(now)
	r.say("for Redis, of %s, expires in %s", who(c), left.Round(time.Second))
	if x.skewed && x.skew.Abs() >= skewWarned {
		r.warn(x.skewFinding(fmt.Sprintf("the issuer's Date header differs from the clock of this machine by %s", x.skew.Round(time.Second))))
	}
}

// who describes the identity: a person, or what kind of program.
func who(c jwt.Claims) string {
	switch {
	case c.UPN != "":
		return "the user " + c.UPN
	case c.IdentityType == "app":
		return "the application or managed identity " + c.ObjectID
	}
	return c.ObjectID
}

func (x *exam) showClaims(r *Result, c jwt.Claims, expires, now time.Time) {
	put := func(name, value string) {
		if value != "" {
			r.fact(name, "%s", value)
		}
	}
	put("aud", strings.Join(c.Audience, ", "))
	put("iss", c.Issuer)
	put("tid", c.TenantID)
	put("oid", c.ObjectID)
	put("appid", c.AppID)
	put("idtyp", c.IdentityType)
	put("upn", c.UPN)
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"iat", c.IssuedAt}, {"nbf", c.NotBefore}, {"exp", c.ExpiresAt}} {
		if !t.at.IsZero() {
			r.fact(t.name, "%s (%s)", stamp(t.at), relative(t.at.Sub(now)))
		}
	}
	if !c.IssuedAt.IsZero() && !expires.IsZero() {
		r.fact("lifetime", "%s", expires.Sub(c.IssuedAt).Round(time.Second))
	}
	if x.token.Username != "" {
		r.fact("username", "%s", x.token.Username)
	}
}

// relative is a distance from now.
func relative(d time.Duration) string {
	if d = d.Round(time.Second); d < 0 {
		return (-d).String() + " ago"
	}
	return "in " + d.String()
}

// clockFinding explains times that do not fit: by the clock of this machine,
// or by the token's own age.
func (x *exam) clockFinding(c jwt.Claims, expires, now time.Time) *Finding {
	begins := c.NotBefore
	if c.IssuedAt.After(begins) {
		begins = c.IssuedAt
	}
	if !c.ExpiresAt.IsZero() && (expires.IsZero() || c.ExpiresAt.Before(expires)) {
		expires = c.ExpiresAt
	}
	ends := !expires.IsZero() && !now.Before(expires)
	early := begins.After(now.Add(skewFailed))
	if !ends && !early {
		if x.skewed && x.skew.Abs() >= skewFailed {
			f := x.skewFinding(fmt.Sprintf("the issuer's Date header differs from the clock of this machine by %s", x.skew.Round(time.Second)))
			return &f
		}
		return nil
	}
	observed := fmt.Sprintf("the token ended at %s, and the clock of this machine says %s", stamp(expires), stamp(now))
	if early {
		observed = fmt.Sprintf("the token begins only at %s, and the clock of this machine says %s", stamp(begins), stamp(now))
	}
	// Without the issuer's word, a token from the future convicts the clock.
	if x.skewed && x.skew.Abs() >= skewWarned || !x.skewed && early {
		f := x.skewFinding(observed)
		return &f
	}
	if early {
		return &Finding{Kind: entraredis.KindClockSkew, Anchor: "token-from-the-future", Observed: observed,
			Means:  "the clock of this machine agrees with the issuer's, so the token was made by a clock that is ahead, or is not of this issuer",
			Remedy: "Obtain the token from Microsoft Entra ID itself. If it comes through a program or cache of your own, look at that machine's clock."}
	}
	return &Finding{Kind: entraredis.KindExpired, Anchor: "stale-token", Observed: observed,
		Means:  "the clock is right; the credential has returned an old token",
		Remedy: "Have the credential acquire a new token instead of keeping one: a token that was copied into a setting or file ends with its life; for the Azure CLI, az account get-access-token shows what it keeps."}
}

func (x *exam) skewFinding(observed string) Finding {
	f := Finding{Kind: entraredis.KindClockSkew, Observed: observed, Means: "the clock of this machine is wrong"}
	if x.skewed {
		direction := "behind"
		if x.skew < 0 {
			direction = "ahead"
		}
		f.Means = fmt.Sprintf("the clock of this machine is %s %s, by the issuer's", x.skew.Abs().Round(time.Second), direction)
	}
	return f
}

// claimsFinding finds a token that is not for Redis, or not of the tenant or
// cloud of the cache.
func (x *exam) claimsFinding(c jwt.Claims) *Finding {
	forRedis := slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(audiences, a) })
	switch {
	case !forRedis && len(c.Audience) > 0:
		return &Finding{Kind: entraredis.KindWrongAudience, Observed: fmt.Sprintf("aud is %q", strings.Join(c.Audience, " ")),
			Means: "the token is for another resource, and Redis will refuse it"}
	case x.wrongTenant(c):
		return &Finding{Kind: entraredis.KindWrongTenant, Anchor: "foreign-tenant",
			Observed: fmt.Sprintf("tid is %q, and the tenant that was asked for is %q", c.TenantID, x.TenantID),
			Means:    "the token is of another tenant than the one expected, and a cache accepts only its own",
			Remedy:   "Sign in to the tenant of the cache's subscription (az login --tenant <tenant>), or use an identity of that tenant: az account show --query \"{tenant:tenantId, cloud:environmentName}\"."}
	case x.product != nil && c.Issuer != "" && ofChina(c.Issuer) != (x.product.cloud == "China"):
		return &Finding{Kind: entraredis.KindWrongTenant, Anchor: "wrong-cloud",
			Observed: fmt.Sprintf("iss is %q, and the host name is one of the %s cloud", c.Issuer, x.product.cloud),
			Means:    "token and cache belong to different clouds",
			Remedy:   "Use the authority of the cache's cloud: --cloud china for Azure China, public otherwise."}
	case c.ObjectID == "" && x.Username == "":
		return &Finding{Kind: entraredis.KindInvalidToken, Observed: "the token has no oid claim",
			Means: "there is no object ID to use as username"}
	}
	return nil
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// wrongTenant compares IDs only: a tenant may also be given by a domain.
func (x *exam) wrongTenant(c jwt.Claims) bool {
	return guid.MatchString(x.TenantID) && c.TenantID != "" && !strings.EqualFold(x.TenantID, c.TenantID)
}

// ofChina reports whether an issuer is that of Azure China, the only cloud
// whose issuers are known by their top-level domain.
func ofChina(issuer string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(issuer, "https://"), "/")
	return strings.HasSuffix(host, ".cn")
}

// groupsOf are the object IDs of the groups in a token's groups claim.
func groupsOf(token string) []string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil
	}
	var claims struct {
		Groups []string `json:"groups"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	return claims.Groups
}

// compareClocks takes the issuer's time from the Date header of an answer that
// needs no credential. Where the issuer cannot be reached, as behind some
// firewalls with managed identity, the clocks are not compared.
func (x *exam) compareClocks(ctx context.Context, r *Result) {
	if x.IssuerURL == "" {
		return
	}
	at, err := x.issuerTime(ctx)
	if err != nil {
		r.fact("issuer's clock", "not compared: %s", shorten(err.Error()))
		return
	}
	// The header has whole seconds: half of one is the best guess.
	x.skew, x.skewed = time.Until(at.Add(500*time.Millisecond)), true
	if x.skew.Abs() < time.Second {
		x.skew = 0
	}
	r.fact("issuer's clock", "%s (differs by %s)", stamp(at), x.skew.Round(time.Second))
}

func (x *exam) issuerTime(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	where := strings.TrimSuffix(x.IssuerURL, "/") + "/common/v2.0/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return time.Time{}, err
	}
	transport := x.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		if x.TLSConfig != nil && x.TLSConfig.RootCAs != nil {
			own.TLSClientConfig = x.TLSConfig.Clone()
			own.TLSClientConfig.ServerName = ""
		}
		defer own.CloseIdleConnections()
		transport = own
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return time.Time{}, err
	}
	defer response.Body.Close()
	date := response.Header.Get("Date")
	if date == "" {
		return time.Time{}, errors.New("its answer has no Date header")
	}
	return http.ParseTime(date)
}
