package emulator

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/jwt"
)

func TestSigned(t *testing.T) {
	var verified []string
	s := signed{verify: func(token string) (jwt.Claims, error) {
		verified = append(verified, token)
		if token == "forged" {
			return jwt.Claims{}, errors.New("not signed")
		}
		return jwt.Claims{Subject: token}, nil
	}}
	for _, token := range []string{"a", "b", "a", "forged", "forged", "b"} {
		claims, err := s.read(token)
		if forged := token == "forged"; (err != nil) != forged || !forged && claims.Subject != token {
			t.Errorf("%s: got %+v, %v", token, claims, err)
		}
	}
	if want := []string{"a", "b", "forged", "forged"}; !slices.Equal(verified, want) {
		t.Errorf("verified %q, want %q", verified, want)
	}
	for i := range 10 * maxSigned {
		if _, err := s.read(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if len(s.claims) > maxSigned {
			t.Fatalf("%d are remembered", len(s.claims))
		}
	}
}

// BenchmarkVerify is one token on one connection after the other.
func BenchmarkVerify(b *testing.B) {
	key, err := jwt.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	token, err := key.Sign(map[string]any{"oid": AppObjectID, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		b.Fatal(err)
	}
	s := signed{verify: key.Verify}
	for name, read := range map[string]func(string) (jwt.Claims, error){"anew": key.Verify, "again": s.read} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := read(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
