package jwt

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	jwtlib "github.com/golang-jwt/jwt/v5"
)

// Key is an RSA-2048 signing key and its key ID, as an Entra tenant has them.
// It is safe for concurrent use. Make one with [NewKey].
type Key struct {
	private *rsa.PrivateKey
	id      string
}

// NewKey makes a key; its ID derives from the public half.
func NewKey() (*Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	sum := sha256.Sum256(private.N.Bytes())
	return &Key{private: private, id: base64.RawURLEncoding.EncodeToString(sum[:20])}, nil
}

// Sign returns the claims as a token signed with RS256.
func (k *Key) Sign(claims map[string]any) (string, error) {
	t := jwtlib.NewWithClaims(jwtlib.SigningMethodRS256, jwtlib.MapClaims(claims))
	t.Header["kid"] = k.id
	s, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s, nil
}

// JWK returns the public half as an entry of a JSON Web Key Set (RFC 7517).
func (k *Key) JWK() map[string]any {
	return map[string]any{
		"kty": "RSA",
		"use": "sig",
		"alg": "RS256",
		"kid": k.id,
		"n":   base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes()),
	}
}

// errKeyID is distinct from a bad signature so that a token of another issuer
// is told from one that was changed.
var errKeyID = errors.New("token was signed with another key")

// Verify returns the claims of a token that this key signed with RS256; no
// other algorithm is accepted. It does not look at the times: the caller has
// the clock.
func (k *Key) Verify(token string) (Claims, error) {
	if err := checkShape(token); err != nil {
		return Claims{}, err
	}
	raw := jwtlib.MapClaims{}
	parser := jwtlib.NewParser(
		jwtlib.WithPaddingAllowed(),
		jwtlib.WithValidMethods([]string{"RS256"}),
		jwtlib.WithoutClaimsValidation(),
	)
	_, err := parser.ParseWithClaims(token, raw, func(t *jwtlib.Token) (any, error) {
		if t.Header["kid"] != k.id {
			return nil, errKeyID
		}
		return &k.private.PublicKey, nil
	})
	switch {
	case errors.Is(err, errKeyID):
		return Claims{}, errKeyID
	case errors.Is(err, jwtlib.ErrTokenMalformed):
		return Claims{}, malformed(err)
	case err != nil:
		return Claims{}, errors.New("token signature is not valid")
	}
	return fromMap(raw)
}
