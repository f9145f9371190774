package credential

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"

	"software.sslmate.com/src/go-pkcs12"
)

// certificateRemedy applies to files that are neither PEM nor PFX, or lack a part.
const certificateRemedy = "give a PEM or PFX file with the certificate and its RSA private key"

// loadCertificate reads the certificates and the private key of a PEM or PFX
// file. azidentity.ParseCertificates is not used because it knows only the
// encryption of PFX files that OpenSSL 3, Windows Server 2019 and Azure Key
// Vault have left behind, and no encrypted PEM keys.
func loadCertificate(path, password string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, &SettingError{Setting: "CertificatePath", Problem: "cannot be read", Err: err, Remedy: certificateRemedy}
	}
	if block, _ := pem.Decode(data); block != nil {
		return parsePEM(path, data, password)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption):
		return nil, nil, passwordError(path, password)
	case err != nil:
		return nil, nil, &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " is neither PEM nor a PFX file with one private key", Err: err, Remedy: certificateRemedy}
	}
	return append([]*x509.Certificate{leaf}, chain...), key, nil
}

func parsePEM(path string, data []byte, password string) (certs []*x509.Certificate, key crypto.PrivateKey, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var found crypto.PrivateKey
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, unreadable(path, err)
			}
			certs = append(certs, cert)
			continue
		case block.Headers["DEK-Info"] != "":
			return nil, nil, &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " has a key in OpenSSL's own encryption, which is broken",
				Remedy: "convert the key with: openssl pkcs8 -topk8 -in key.pem -out key8.pem"}
		case block.Type == "ENCRYPTED PRIVATE KEY":
			var der []byte
			if der, err = decryptPKCS8(block.Bytes, password); err == nil {
				found, err = x509.ParsePKCS8PrivateKey(der)
			}
			if errors.Is(err, errDecrypt) {
				return nil, nil, passwordError(path, password)
			}
		case block.Type == "PRIVATE KEY":
			found, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			found, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			found, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, nil, unreadable(path, err)
		}
		if key != nil {
			return nil, nil, &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " has more than one private key", Remedy: "leave the key that belongs to the certificate"}
		}
		key = found
	}
	switch {
	case len(certs) == 0:
		return nil, nil, &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " has no certificate", Remedy: "append the certificate to the file: cat key.pem cert.pem"}
	case key == nil:
		return nil, nil, &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " has no private key", Remedy: "append the key to the file: cat key.pem cert.pem"}
	}
	return certs, key, nil
}

func unreadable(path string, err error) error {
	return &SettingError{Setting: "CertificatePath", Problem: quoted(path) + " cannot be read", Err: err, Remedy: certificateRemedy}
}

func passwordError(path, password string) error {
	if password == "" {
		return &SettingError{Setting: "CertificatePassword", Problem: "is not set, and " + quoted(path) + " is encrypted", Remedy: "give the password the file was made with"}
	}
	return &SettingError{Setting: "CertificatePassword", Problem: "does not decrypt " + quoted(path), Remedy: "give the password the file was made with"}
}
