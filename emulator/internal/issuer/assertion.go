package issuer

import (
	"crypto/sha1" //nolint:gosec // x5t of RFC 7515 is a SHA-1 thumbprint
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// exchangeAudience is what a federated identity credential expects in aud.
const exchangeAudience = "api://AzureADTokenExchange"

// clockSkew is how far the caller's clock may be off; Entra's documentation
// recommends that much to those who validate its tokens.
const clockSkew = 5 * time.Minute

// checkAssertion verifies a client assertion: one the application signed with
// its certificate (iss = client ID), or one of a federated issuer.
func (s *Issuer) checkAssertion(r *http.Request, p *Principal, form url.Values) *refusal {
	if form.Get("client_assertion_type") != assertionType {
		return refuseMissing("client_assertion_type")
	}
	raw := form.Get("client_assertion")
	claims := jwtlib.MapClaims{}
	if _, _, err := jwtlib.NewParser().ParseUnverified(raw, claims); err != nil {
		return refuseAssertion(50027, "JWT token is invalid or malformed.")
	}
	var refused *refusal
	if issuer, _ := claims["iss"].(string); strings.EqualFold(issuer, p.ClientID) {
		refused = s.checkCertificate(r, p, raw, claims)
	} else {
		refused = checkFederated(p, raw, claims, issuer)
	}
	if refused != nil {
		return refused
	}
	return checkTimes(claims)
}

// checkTimes uses the real clock and not the emulator's: the assertion was
// made by a program that lives in real time.
func checkTimes(claims jwtlib.MapClaims) *refusal {
	now := time.Now()
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil || now.After(exp.Add(clockSkew)) {
		return refuseAssertion(700024, "Client assertion is not within its valid time range.")
	}
	if nbf, err := claims.GetNotBefore(); err != nil || (nbf != nil && nbf.Add(-clockSkew).After(now)) {
		return refuseAssertion(700024, "Client assertion is not within its valid time range.")
	}
	return nil
}

var errThumbprint = errors.New("the key was not found")

func (s *Issuer) checkCertificate(r *http.Request, p *Principal, raw string, claims jwtlib.MapClaims) *refusal {
	if p.Certificate == nil {
		return refuseAssertion(700027, "Client assertion failed signature validation. [Reason - The key was not found.]")
	}
	parser := jwtlib.NewParser(jwtlib.WithValidMethods([]string{"PS256", "RS256"}), jwtlib.WithoutClaimsValidation())
	_, err := parser.Parse(raw, func(t *jwtlib.Token) (any, error) {
		if !thumbprintMatches(t.Header, p.Certificate.Raw) {
			return nil, errThumbprint
		}
		return p.Certificate.PublicKey, nil
	})
	switch {
	case errors.Is(err, errThumbprint):
		return refuseAssertion(700027, "Client assertion failed signature validation. [Reason - The key was not found.]")
	case err != nil:
		return refuseAssertion(700027, "Client assertion contains an invalid signature. [Reason - The key was found, but use of the key to verify the signature failed.]")
	}
	if subject, _ := claims.GetSubject(); !strings.EqualFold(subject, p.ClientID) {
		return refuseAssertion(50048, "Subject mismatches Issuer claim in the client assertion.")
	}
	segment := r.PathValue("tenant")
	allowed := []string{
		base(r) + "/" + segment + "/oauth2/v2.0/token", base(r) + "/" + segment + "/v2.0", base(r) + "/" + segment,
	}
	audience, _ := claims.GetAudience()
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(allowed, strings.TrimSuffix(a, "/")) }) {
		return refuseAssertion(50027, "JWT token is invalid or malformed. [Reason - unexpected audience]")
	}
	return nil
}

// thumbprintMatches accepts base64 of either alphabet: azidentity sends the
// standard one with padding, the RFC says base64url.
func thumbprintMatches(header map[string]any, der []byte) bool {
	long, short := sha256.Sum256(der), sha1.Sum(der) //nolint:gosec // as above
	for _, form := range []struct {
		name string
		sum  []byte
	}{{"x5t#S256", long[:]}, {"x5t", short[:]}} {
		if v, ok := header[form.name].(string); ok {
			v = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(v), "=")
			return v == base64.RawURLEncoding.EncodeToString(form.sum)
		}
	}
	return false
}

func checkFederated(p *Principal, raw string, claims jwtlib.MapClaims, issuer string) *refusal {
	if p.FederatedIssuer == "" || issuer != p.FederatedIssuer {
		return refuseAssertion(700211, fmt.Sprintf("No matching federated identity record found for presented assertion issuer '%s'.", issuer))
	}
	if subject, _ := claims.GetSubject(); subject != p.FederatedSubject {
		return refuseAssertion(700213, fmt.Sprintf("No matching federated identity record found for presented assertion subject '%s'.", subject))
	}
	if audience, _ := claims.GetAudience(); !slices.Contains(audience, exchangeAudience) {
		return refuseAssertion(700212, fmt.Sprintf("No matching federated identity record found for presented assertion audience '%s'.", strings.Join(audience, " ")))
	}
	parser := jwtlib.NewParser(jwtlib.WithValidMethods([]string{"RS256", "PS256", "ES256"}), jwtlib.WithoutClaimsValidation())
	if _, err := parser.Parse(raw, func(*jwtlib.Token) (any, error) { return p.FederatedKey, nil }); err != nil {
		return refuseAssertion(700027, "Client assertion failed signature validation.")
	}
	return nil
}
