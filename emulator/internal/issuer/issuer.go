// Package issuer answers as Microsoft Entra ID and as the managed identity
// endpoints of Azure do, for a fixed set of principals in one tenant.
//
// What is asked for and answered follows the OAuth 2.0 pages of the Microsoft
// identity platform (client credentials, device authorization grant,
// authorization code with PKCE, resource owner password credentials) and the
// managed identity REST references of App Service and of virtual machines.
// Error codes are those of the "Microsoft Entra authentication and
// authorization error codes" page.
package issuer

import (
	"crypto"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/entraredis/entraredis/internal/jwt"
)

// Kinds of principals.
const (
	KindUser            = "user"
	KindApp             = "app"
	KindManagedIdentity = "managed-identity"
)

// Principal is an identity that can obtain tokens.
type Principal struct {
	Name, Kind, ObjectID, ClientID, ClientSecret string
	UPN, Password, ResourceID                    string
	Certificate                                  *x509.Certificate
	FederatedIssuer, FederatedSubject            string
	FederatedKey                                 crypto.PublicKey
	TokenLifetime                                time.Duration
}

// userAssigned tells the two forms of managed identity apart by the type of
// their Azure resource.
func (p *Principal) userAssigned() bool {
	return strings.Contains(strings.ToLower(p.ResourceID), "/providers/microsoft.managedidentity/userassignedidentities/")
}

// Config is what an [Issuer] is made of. All fields but Wrap and Logger are
// required; the lifetimes have been validated by the caller.
type Config struct {
	TenantID       string
	Principals     []Principal
	Key            *jwt.Key
	Now            func() time.Time
	TokenLifetime  time.Duration // of principals that have none of their own
	RefreshIn      time.Duration // 0 = refresh_in is not sent
	IdentityHeader string        // what X-IDENTITY-HEADER must hold
	// Wrap is put around the handler of each endpoint; nil = none.
	Wrap func(endpoint string, h http.Handler) http.Handler
	// Change alters the claims of each access token before it is signed; nil = none.
	Change func(claims map[string]any)
	Logger *slog.Logger
}

// Endpoints are the names Wrap is called with.
func Endpoints() []string {
	return []string{"openid", "keys", "instance", "userrealm", "token", "devicecode", "devicelogin", "authorize", "msi", "imds"}
}

// Issuer is safe for concurrent use. It starts no goroutines and holds nothing
// that must be closed.
type Issuer struct {
	config Config
	issued atomic.Uint64

	mu      sync.Mutex // guards the two maps; never held across I/O
	devices map[string]*device
	codes   map[string]*code
}

// New returns an issuer.
func New(c Config) *Issuer {
	if c.Wrap == nil {
		c.Wrap = func(_ string, h http.Handler) http.Handler { return h }
	}
	if c.Change == nil {
		c.Change = func(map[string]any) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Issuer{config: c, devices: map[string]*device{}, codes: map[string]*code{}}
}

// Issued returns how many access tokens were issued; Mint does not count.
func (s *Issuer) Issued() uint64 { return s.issued.Load() }

// Authority returns the handler of the Entra endpoints, to be served over
// HTTPS: azidentity accepts no other authority. URLs in its answers have the
// host of the request.
func (s *Issuer) Authority() http.Handler {
	mux := http.NewServeMux()
	handle := func(endpoint, pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, s.config.Wrap(endpoint, h))
	}
	handle("openid", "GET /{tenant}/v2.0/.well-known/openid-configuration", s.openID("v2.0"))
	handle("openid", "GET /{tenant}/.well-known/openid-configuration", s.openID("v1.0"))
	handle("keys", "GET /{tenant}/discovery/v2.0/keys", s.keys)
	handle("keys", "GET /{tenant}/discovery/keys", s.keys)
	handle("instance", "GET /common/discovery/instance", s.instance)
	handle("userrealm", "GET /common/UserRealm/{upn}", s.userRealm)
	handle("token", "/{tenant}/oauth2/v2.0/token", s.token)
	handle("devicecode", "POST /{tenant}/oauth2/v2.0/devicecode", s.deviceCode)
	handle("devicelogin", "GET /devicelogin", s.devicePage)
	handle("devicelogin", "POST /devicelogin", s.deviceChosen)
	handle("authorize", "GET /{tenant}/oauth2/v2.0/authorize", s.authorizePage)
	handle("authorize", "POST /{tenant}/oauth2/v2.0/authorize", s.authorizeChosen)
	mux.HandleFunc("/", notEmulated)
	return s.dated(mux)
}

// dated answers with the issuer's own time: net/http would give the machine's.
func (s *Issuer) dated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.config.Now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// Identity returns the handler of the managed identity endpoints, to be served
// over plain HTTP: App Service style at /msi/token, virtual machine style
// (IMDS) at /metadata/identity/oauth2/token.
func (s *Issuer) Identity() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /msi/token", s.config.Wrap("msi", http.HandlerFunc(s.appService)))
	mux.Handle("GET /metadata/identity/oauth2/token", s.config.Wrap("imds", http.HandlerFunc(s.imds)))
	mux.HandleFunc("/", notEmulated)
	return s.dated(mux)
}

// find returns the first principal that ok accepts, nil if none.
func (s *Issuer) find(ok func(*Principal) bool) *Principal {
	for i := range s.config.Principals {
		if p := &s.config.Principals[i]; ok(p) {
			return p
		}
	}
	return nil
}

func (s *Issuer) user(upn string) *Principal {
	return s.find(func(p *Principal) bool {
		return p.Kind == KindUser && p.UPN != "" && strings.EqualFold(p.UPN, upn)
	})
}
