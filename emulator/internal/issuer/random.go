package issuer

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// opaque returns n random bytes as base64url.
func opaque(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// userCodeLetters are those Entra uses: none is mistaken for another.
const userCodeLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

func userCode() string {
	b := make([]byte, 9)
	_, _ = rand.Read(b) // never fails: crypto/rand
	for i := range b {
		b[i] = userCodeLetters[int(b[i])%len(userCodeLetters)]
	}
	return string(b)
}
