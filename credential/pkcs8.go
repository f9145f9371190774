package credential

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// errDecrypt means that the password is wrong.
var errDecrypt = errors.New("wrong password")

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// hashes of PBKDF2's pseudo-random function, RFC 8018 appendix B.1.
var hashes = map[string]func() hash.Hash{
	"":                    sha1.New, // the default
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// keyLengths in bytes of the AES-CBC ciphers, RFC 8018 appendix B.2.5.
var keyLengths = map[string]int{
	"2.16.840.1.101.3.4.1.2":  16,
	"2.16.840.1.101.3.4.1.22": 24,
	"2.16.840.1.101.3.4.1.42": 32,
}

// decryptPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958) made with PBES2,
// PBKDF2 and AES-CBC (RFC 8018), which is what OpenSSL writes by default.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	var kdf struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	var iv []byte
	if err := unmarshal(der, &info); err != nil {
		return nil, err
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, unsupported(info.Algorithm)
	}
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	if !scheme.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, unsupported(scheme.KDF)
	}
	if err := unmarshal(scheme.KDF.Parameters.FullBytes, &kdf); err != nil {
		return nil, err
	}
	newHash, known := hashes[kdf.PRF.Algorithm.String()]
	if !known {
		return nil, unsupported(kdf.PRF)
	}
	keyLength, known := keyLengths[scheme.Cipher.Algorithm.String()]
	if !known {
		return nil, unsupported(scheme.Cipher)
	}
	if err := unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 || kdf.Iterations < 1 {
		return nil, errors.New("malformed encrypted private key")
	}
	key, err := pbkdf2.Key(newHash, password, kdf.Salt, kdf.Iterations, keyLength)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	return unpad(plain)
}

// unpad removes the padding of RFC 5652 section 6.3 and, since padding looks
// right by chance for one wrong password in 256, demands a DER sequence.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize || n > len(plain) {
		return nil, errDecrypt
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, errDecrypt
		}
	}
	plain = plain[:len(plain)-n]
	var sequence asn1.RawValue
	if rest, err := asn1.Unmarshal(plain, &sequence); err != nil || len(rest) > 0 || sequence.Tag != asn1.TagSequence {
		return nil, errDecrypt
	}
	return plain, nil
}

func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return fmt.Errorf("encrypted private key: %w", err)
	}
	if len(rest) > 0 {
		return errors.New("encrypted private key: trailing data")
	}
	return nil
}

func unsupported(a pkix.AlgorithmIdentifier) error {
	return fmt.Errorf("encrypted private key: algorithm %v is not supported; convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc", a.Algorithm)
}
