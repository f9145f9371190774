package emulator

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// RedisAddr is the host:port of Redis; "" with NoListen.
func (e *Emulator) RedisAddr() string {
	if e.redis == nil {
		return ""
	}
	return reachable(e.redis)
}

// reachable is the address to connect to from this machine.
func reachable(ln net.Listener) string {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if ok && addr.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return ln.Addr().String()
}

// Host is the cache's host name, the only name its certificate holds.
func (e *Emulator) Host() string {
	if e.options.Flavor == FlavorAMR {
		return "emulator.westeurope.redis.azure.net"
	}
	return "emulator.redis.cache.windows.net"
}

// TLSConfig returns what a Redis client needs to verify the server: the
// emulator's CA, and Host as the server's name. It is the caller's to change;
// nil if Redis is served in plain text.
func (e *Emulator) TLSConfig() *tls.Config {
	if e.options.Plaintext {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: e.ca.pool(), ServerName: e.Host()}
}

// CAPEM is the certificate of the CA that signed both of the emulator's.
func (e *Emulator) CAPEM() []byte { return e.ca.pem() }

// IssuerURL is the authority host to give to a credential. Its certificate is
// for 127.0.0.1 and localhost.
func (e *Emulator) IssuerURL() string { return "https://" + e.transport.issuerHost }

// IdentityURL is where managed identity is served: App Service style at
// /msi/token, virtual machine style at /metadata/identity/oauth2/token.
func (e *Emulator) IdentityURL() string { return "http://" + e.transport.identityHost }

// IdentityHeader is what IDENTITY_HEADER must hold.
func (e *Emulator) IdentityHeader() string { return e.header }

// TenantID is the ID of the only tenant.
func (e *Emulator) TenantID() string { return e.options.TenantID }

// HTTPClient returns a client that trusts the CA; it serves as the Transport
// of an azcore credential. Requests to login.microsoftonline.com and
// 169.254.169.254 reach the emulator too, so that credentials work with no
// other setting. With NoListen it reaches nothing but the emulator.
func (e *Emulator) HTTPClient() *http.Client { return &http.Client{Transport: e.transport} }

func (e *Emulator) principal(name string) (Principal, bool) {
	for _, p := range e.options.Principals {
		if p.Name == name {
			return p, true
		}
	}
	return Principal{}, false
}

// Principal returns the principal of that name. It panics if there is none: a
// test that misspells one should not go on.
func (e *Emulator) Principal(name string) Principal {
	p, ok := e.principal(name)
	if !ok {
		panic(fmt.Sprintf("emulator: there is no principal %q", name))
	}
	return p
}

// IdentityEnv returns the environment with which a program that uses
// azidentity's DefaultAzureCredential or ManagedIdentityCredential gets tokens
// here without any change to it.
func (e *Emulator) IdentityEnv() map[string]string {
	return map[string]string{
		"IDENTITY_ENDPOINT":       e.IdentityURL() + "/msi/token",
		"IDENTITY_HEADER":         e.header,
		"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
	}
}

// Env returns the environment that names this emulator to a program: managed
// identity, and the authority, tenant and secret of the first app that has
// one. A credential that uses the authority must trust CAPEM and do without
// instance discovery, for which azidentity has no variable; where that cannot
// be had, use IdentityEnv instead.
func (e *Emulator) Env() map[string]string {
	env := map[string]string{
		"IDENTITY_ENDPOINT":    e.IdentityURL() + "/msi/token",
		"IDENTITY_HEADER":      e.header,
		"AZURE_AUTHORITY_HOST": e.IssuerURL(),
		"AZURE_TENANT_ID":      e.options.TenantID,
	}
	for _, p := range e.options.Principals {
		if p.Kind == PrincipalApp && p.ClientSecret != "" {
			env["AZURE_CLIENT_ID"], env["AZURE_CLIENT_SECRET"] = p.ClientID, p.ClientSecret
			break
		}
	}
	return env
}

// Mint signs a token for a principal without asking the issuer. change, unless
// nil, alters the claims: an expired token, one of a foreign tenant, one for
// another resource. It panics if there is no such principal or the claims
// cannot be signed.
func (e *Emulator) Mint(principal string, change func(claims map[string]any)) string {
	token, ok, err := e.issuer.Mint(principal, change)
	if !ok {
		panic(fmt.Sprintf("emulator: there is no principal %q", principal))
	}
	if err != nil {
		panic("emulator: " + err.Error())
	}
	return token
}

// ApproveDevice enters a device code as the user of that name would at the
// verification page.
func (e *Emulator) ApproveDevice(userCode, user string) error {
	if err := e.issuer.ApproveDevice(userCode, user); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	return nil
}

// Browse does at an authorization URL what a browser with the user of that
// name would do: signs in, and posts the code to the program that waits for
// it. Redirects to the program go over the network.
func (e *Emulator) Browse(ctx context.Context, authorizationURL, user string) error {
	return browse(ctx, e.HTTPClient(), authorizationURL, e.Principal(user).UPN)
}
