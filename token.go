package entraredis

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
)

const redacted = "[redacted]"

// Token is an access token with what Redis needs beside it. It is a value:
// copy it freely and use it from any number of goroutines. The zero Token is
// not valid. However it is printed, logged or marshalled, the secret does not
// appear; [Token.Password] is the only way to it.
type Token struct {
	// Username is the Redis username the token authenticates: its object ID
	// claim, or Options.Username.
	Username string

	// ExpiresOn is when the token ends, and with it every connection that
	// authenticated with it last.
	ExpiresOn time.Time

	// IssuedAt is when the issuer made the token (its "iat" claim), or when it
	// was received if it does not say.
	IssuedAt time.Time

	// A pointer, because fmt does not call the methods of values inside
	// unexported struct fields: by reflection only an address is to be seen.
	secret *string
}

// Password returns the raw access token, which is the password of the Redis
// AUTH command. It is empty for the zero Token.
func (t Token) Password() string {
	if t.secret == nil {
		return ""
	}
	return *t.secret
}

// Valid reports whether the token has a secret and is before its expiry by
// the local clock.
func (t Token) Valid() bool {
	return t.Password() != "" && time.Now().Before(t.ExpiresOn)
}

// String describes the token without its secret.
func (t Token) String() string {
	if t.secret == nil {
		return "entraredis.Token{}"
	}
	return fmt.Sprintf("entraredis.Token{Username: %q, ExpiresOn: %s, %s}",
		t.Username, t.ExpiresOn.UTC().Format(time.RFC3339), redacted)
}

// GoString is String, so that %#v does not show the secret either.
func (t Token) GoString() string { return t.String() }

// Format writes String for every verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer] without the secret.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("username", t.Username),
		slog.Time("expires_on", t.ExpiresOn),
		slog.String("token", redacted),
	)
}

// MarshalJSON encodes the token without its secret.
func (t Token) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Username  string    `json:"username"`
		ExpiresOn time.Time `json:"expires_on"`
		IssuedAt  time.Time `json:"issued_at"`
		Token     string    `json:"token"`
	}{t.Username, t.ExpiresOn, t.IssuedAt, redacted})
}

// MarshalText is String, for encoders that prefer text.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// same reports whether both are one and the same access token.
func (t Token) same(u Token) bool {
	return t.secret != nil && u.secret != nil && *t.secret == *u.secret
}
