package entraredis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
)

func goroutines() int { return runtime.NumGoroutine() }

// opaque returns the Source of a token that is no JWT.
func opaque(secret string) (*scripted, *entraredis.Options) {
	return &scripted{script: func(context.Context, int) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: secret, ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}, &entraredis.Options{Username: "ada"}
}

func TestTokenNeverShowsItsSecret(t *testing.T) {
	const secret = "s3cret-s3cret"
	c, o := opaque(secret)
	inBubble(t, c, o, func(t *testing.T, s *entraredis.Source) {
		tok := mustToken(t, s)
		if tok.Password() != secret {
			t.Fatalf("Password = %q", tok.Password())
		}
		type nested struct {
			Token  entraredis.Token
			hidden entraredis.Token
			ptr    *entraredis.Token
			list   []entraredis.Token
			table  map[string]entraredis.Token
			any    any
		}
		n := nested{tok, tok, &tok, []entraredis.Token{tok}, map[string]entraredis.Token{"k": tok}, tok}
		values := map[string]any{
			"token": tok, "pointer": &tok, "nested": n, "pointer to nested": &n, "slice": n.list, "map": n.table,
			"error": fmt.Errorf("with %v and %w", tok, &entraredis.TokenError{Err: fmt.Errorf("%+v", n)}),
			"event": entraredis.Event{Username: tok.Username}, "status": s.Status(),
		}
		var out bytes.Buffer
		for name, v := range values {
			out.Reset()
			for _, verb := range "vsqxXdbocUeEfFgGtpT" {
				for _, flags := range []string{"", "+", "#", "-20", "010.3"} {
					fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
				}
			}
			fmt.Fprintln(&out, v)
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("m", "value", v)
			}
			if j, err := json.Marshal(v); err == nil {
				out.Write(j)
			}
			xml.NewEncoder(&out).Encode(v)
			for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), fmt.Sprint([]byte(secret))} {
				if strings.Contains(out.String(), form) {
					t.Errorf("%s shows the secret as %q:\n%s", name, form, &out)
				}
			}
		}
		if got := fmt.Sprint(tok); !strings.Contains(got, "ada") || !strings.Contains(got, "[redacted]") {
			t.Errorf("String = %s, want username and [redacted]", got)
		}
	})
}

func TestTokenValid(t *testing.T) {
	if (entraredis.Token{}).Valid() || (entraredis.Token{ExpiresOn: time.Now().Add(time.Hour)}).Valid() {
		t.Error("a Token without secret is valid")
	}
	if got := (entraredis.Token{}).String(); got != "entraredis.Token{}" {
		t.Errorf("zero Token = %s", got)
	}
	inBubble(t, &scripted{life: time.Hour}, nil, func(t *testing.T, s *entraredis.Source) {
		tok := mustToken(t, s)
		if !tok.Valid() {
			t.Error("new token is not valid")
		}
		pass(time.Hour)
		if tok.Valid() {
			t.Error("token is valid at its expiry")
		}
	})
}

func TestWhatATokenMustHave(t *testing.T) {
	claims := func(change func(map[string]any)) func() azcore.AccessToken {
		return func() azcore.AccessToken { return mint(time.Now(), time.Hour, change) }
	}
	without := func(names ...string) func() azcore.AccessToken {
		return claims(func(m map[string]any) {
			for _, n := range names {
				delete(m, n)
			}
		})
	}
	noExpiry := func(f func() azcore.AccessToken) func() azcore.AccessToken {
		return func() azcore.AccessToken {
			tok := f()
			tok.ExpiresOn = time.Time{}
			return tok
		}
	}
	tests := []struct {
		name     string
		username string
		token    func() azcore.AccessToken
		kind     entraredis.Kind // "" = accepted
		text     string          // in the error
	}{
		{"all claims", "", claims(nil), "", ""},
		{"no oid", "", without("oid"), entraredis.KindInvalidToken, "set Options.Username"},
		{"no oid, username given", "ada", without("oid"), "", ""},
		{"opaque", "", func() azcore.AccessToken {
			return azcore.AccessToken{Token: "s3cret", ExpiresOn: time.Now().Add(time.Hour)}
		}, entraredis.KindInvalidToken, "set Options.Username"},
		{"opaque, username given", "ada", func() azcore.AccessToken {
			return azcore.AccessToken{Token: "s3cret", ExpiresOn: time.Now().Add(time.Hour)}
		}, "", ""},
		{"empty", "ada", func() azcore.AccessToken { return azcore.AccessToken{ExpiresOn: time.Now().Add(time.Hour)} }, entraredis.KindInvalidToken, "empty access token"},
		{"expiry from the exp claim", "", noExpiry(claims(nil)), "", ""},
		{"no expiry at all", "", noExpiry(without("exp")), entraredis.KindInvalidToken, "no exp claim"},
		{"no iat", "", without("iat", "nbf"), "", ""},
		{"begins in 4 minutes", "", claims(func(m map[string]any) { m["nbf"] = time.Now().Add(4 * time.Minute).Unix() }), "", ""},
		{"begins in 6 minutes", "", claims(func(m map[string]any) { m["nbf"] = time.Now().Add(6 * time.Minute).Unix() }), entraredis.KindClockSkew, "2000-01-01T00:06:00Z: the clock of this machine says 2000-01-01T00:00:00Z"},
		{"issued in 6 minutes", "", claims(func(m map[string]any) { m["iat"] = time.Now().Add(6 * time.Minute).Unix() }), entraredis.KindClockSkew, "begins only at"},
		{"expired on arrival", "", func() azcore.AccessToken { return mint(time.Now().Add(-2*time.Hour), time.Hour, nil) }, entraredis.KindClockSkew, "expired at 1999-12-31T23:00:00Z, before it arrived: the clock of this machine says 2000-01-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &scripted{script: func(context.Context, int) (azcore.AccessToken, error) { return tt.token(), nil }}
			inBubble(t, c, &entraredis.Options{Username: tt.username}, func(t *testing.T, s *entraredis.Source) {
				tok, err := s.Token(t.Context())
				if tt.kind == "" {
					want := tt.username
					if want == "" {
						want = oid
					}
					if err != nil || tok.Username != want || !tok.ExpiresOn.Equal(time.Now().Add(time.Hour)) || !tok.IssuedAt.Equal(time.Now()) {
						t.Errorf("Token = %+v issued at %v, %v", tok, tok.IssuedAt, err)
					}
					return
				}
				te, ok := errors.AsType[*entraredis.TokenError](err)
				if !ok || te.Kind != tt.kind || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("Token: %v, want kind %s and %q", err, tt.kind, tt.text)
				}
				if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "eyJ") {
					t.Errorf("error shows the token: %v", err)
				}
			})
		})
	}
}
