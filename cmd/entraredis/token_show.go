package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

// tokenFacts is all that is ever shown of a token.
type tokenFacts struct {
	token  entraredis.Token
	claims jwt.Claims
	now    time.Time
}

// lifetime is how long the issuer gave the token, in the whole seconds that issuers count in.
func (f tokenFacts) lifetime() time.Duration {
	from := f.claims.IssuedAt
	if from.IsZero() {
		from = f.now
	}
	return f.token.ExpiresOn.Sub(from).Truncate(time.Second)
}

func showTokenText(w io.Writer, f tokenFacts) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name, value)
		}
	}
	line("username", f.token.Username)
	line("expires", f.moment(f.token.ExpiresOn))
	line("lifetime", short(f.lifetime()))
	b.WriteString("claims\n")
	c := f.claims
	line("  aud", strings.Join(c.Audience, ", "))
	line("  iss", c.Issuer)
	line("  tid", c.TenantID)
	line("  oid", c.ObjectID)
	line("  sub", c.Subject)
	line("  appid", c.AppID)
	line("  idtyp", c.IdentityType)
	line("  upn", c.UPN)
	line("  name", c.Name)
	line("  ver", c.Version)
	line("  iat", f.moment(c.IssuedAt))
	line("  nbf", f.moment(c.NotBefore))
	line("  exp", f.moment(c.ExpiresAt))
	_, err := io.WriteString(w, b.String())
	return err
}

// moment is a time in the local zone with its distance from now.
func (f tokenFacts) moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", t.Local().Format("2006-01-02 15:04:05 MST"), relative(t.Sub(f.now)))
}

func relative(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d > 0:
		return "in " + short(d)
	case d < 0:
		return short(-d) + " ago"
	}
	return "now"
}

func showTokenJSON(w io.Writer, f tokenFacts) error {
	claims := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	c := f.claims
	put("iss", c.Issuer)
	put("tid", c.TenantID)
	put("oid", c.ObjectID)
	put("sub", c.Subject)
	put("appid", c.AppID)
	put("idtyp", c.IdentityType)
	put("upn", c.UPN)
	put("name", c.Name)
	put("ver", c.Version)
	if len(c.Audience) > 0 {
		claims["aud"] = c.Audience
	}
	for name, t := range map[string]time.Time{"iat": c.IssuedAt, "nbf": c.NotBefore, "exp": c.ExpiresAt} {
		if !t.IsZero() {
			claims[name] = t.Unix()
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Username        string         `json:"username"`
		ExpiresOn       time.Time      `json:"expires_on"`
		LifetimeSeconds int64          `json:"lifetime_seconds"`
		Claims          map[string]any `json:"claims"`
	}{f.token.Username, f.token.ExpiresOn.UTC(), int64(f.lifetime() / time.Second), claims})
}
