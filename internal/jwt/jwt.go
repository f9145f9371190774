// Package jwt reads the claims of Microsoft Entra access tokens and, for the
// emulator, signs and verifies tokens of the same shape.
//
// A token is a secret: no error of this package holds any part of one, nor the
// value of a claim.
package jwt

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"
)

// maxSize bounds what is decoded. Entra tokens are 1-3 KiB; Redis itself
// refuses a password of more than 16 KiB on an unauthenticated connection.
const maxSize = 256 << 10

// Claims are those claims of an access token that say whose it is, who issued
// it, whom it is for and when it holds. A claim the token lacks is the zero
// value. The names are those of the access token claims reference of the
// Microsoft identity platform.
type Claims struct {
	ObjectID     string // oid: the user name on an Azure Redis
	TenantID     string // tid
	AppID        string // appid (v1.0 tokens) or azp (v2.0 tokens)
	Subject      string // sub
	Issuer       string // iss
	IdentityType string // idtyp: "app" for an app-only token
	Version      string // ver: "1.0" or "2.0"
	UPN          string // upn, preferred_username or unique_name, of a user
	Name         string // name, or app_displayname

	Audience []string // aud, a string or an array in the token

	IssuedAt, NotBefore, ExpiresAt time.Time // iat, nbf, exp
}

// Read returns the claims of a token without verifying its signature or its
// times: whoever accepts the token does that. It takes base64url with padding
// or without, any Unicode in the claims, and any signing algorithm. A claim
// that matters (oid, tid, aud, iss, iat, nbf, exp) and has the wrong JSON type
// is an error that names it.
func Read(token string) (Claims, error) {
	if err := checkShape(token); err != nil {
		return Claims{}, err
	}
	raw := jwtlib.MapClaims{}
	_, _, err := jwtlib.NewParser(jwtlib.WithPaddingAllowed()).ParseUnverified(token, raw)
	// An algorithm the library does not know is no obstacle to reading.
	if err != nil && !errors.Is(err, jwtlib.ErrTokenUnverifiable) {
		return Claims{}, malformed(err)
	}
	return fromMap(raw)
}

func checkShape(token string) error {
	if token == "" {
		return errors.New("token is empty")
	}
	if len(token) > maxSize {
		return fmt.Errorf("token of %d bytes is larger than the %d allowed", len(token), maxSize)
	}
	dots := strings.Count(token, ".")
	switch dots {
	case 2:
		return nil
	case 4:
		return errors.New("token is encrypted (a JWE of five parts): its claims cannot be read")
	default:
		return fmt.Errorf("token is not a JWT: it has %d parts, not 3", dots+1)
	}
}

// malformed says which part is wrong and drops the library's cause, whose text
// may quote the input.
func malformed(err error) error {
	text := err.Error()
	for _, part := range []struct{ in, problem string }{
		{"base64 decode header", "header is not base64url"},
		{"JSON decode header", "header is not a JSON object"},
		{"base64 decode claim", "claims are not base64url"},
		{"JSON decode claim", "claims are not a JSON object"},
		{"base64 decode signature", "signature is not base64url"},
	} {
		if strings.Contains(text, part.in) {
			return errors.New("token is malformed: " + part.problem)
		}
	}
	return errors.New("token is malformed")
}

// fromMap picks the claims. Those nothing depends on are read leniently: a
// token is not refused for an odd display name.
func fromMap(raw map[string]any) (Claims, error) {
	r := claimReader{raw: raw}
	c := Claims{
		ObjectID:     r.text("oid"),
		TenantID:     r.text("tid"),
		Issuer:       r.text("iss"),
		Audience:     r.texts("aud"),
		IssuedAt:     r.instant("iat"),
		NotBefore:    r.instant("nbf"),
		ExpiresAt:    r.instant("exp"),
		Subject:      first(raw, "sub"),
		AppID:        first(raw, "appid", "azp"),
		IdentityType: first(raw, "idtyp"),
		Version:      first(raw, "ver"),
		UPN:          first(raw, "upn", "preferred_username", "unique_name"),
		Name:         first(raw, "name", "app_displayname"),
	}
	return c, r.err
}

// first returns the first of the claims that is a non-empty string.
func first(raw map[string]any, names ...string) string {
	for _, name := range names {
		if s, ok := raw[name].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// claimReader reads claims that must have the right type when present; the
// first error sticks.
type claimReader struct {
	raw map[string]any
	err error
}

func (r *claimReader) fail(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("token claim %q %s", name, problem)
	}
}

func (r *claimReader) text(name string) string {
	v, ok := r.raw[name]
	if !ok || v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.fail(name, "is "+kindOf(v)+", not a string")
	}
	return s
}

func (r *claimReader) texts(name string) []string {
	switch v := r.raw[name].(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				r.fail(name, "holds "+kindOf(e)+", not only strings")
				return nil
			}
			out = append(out, s)
		}
		return out
	default:
		r.fail(name, "is "+kindOf(v)+", not a string or an array of strings")
		return nil
	}
}

// endOfTime is the last second of the year 9999: what time.Time's JSON form,
// and no real token, can hold.
const endOfTime = 253402300799

// instant reads a NumericDate of RFC 7519: seconds, perhaps with a fraction.
func (r *claimReader) instant(name string) time.Time {
	v, ok := r.raw[name]
	if !ok || v == nil {
		return time.Time{}
	}
	f, ok := v.(float64)
	if !ok {
		r.fail(name, "is "+kindOf(v)+", not a number of seconds")
		return time.Time{}
	}
	if f < 0 || f > endOfTime {
		r.fail(name, "is outside the years 1970 to 9999")
		return time.Time{}
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
