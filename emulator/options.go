package emulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// Flavor says which Azure service the Redis side answers like: the texts of
// its refusals, the commands it blocks and the host name it has.
type Flavor string

// The two services that accept Entra tokens, and what neither is: a Redis that
// does but has no command blocked, to test against everything Redis can do.
const (
	FlavorACR   Flavor = "acr"   // Azure Cache for Redis (a fork of Redis 6.0)
	FlavorAMR   Flavor = "amr"   // Azure Managed Redis (Redis Enterprise 7.4)
	FlavorRedis Flavor = "redis" // Redis 7
)

// Bounds and default of a token's lifetime. Entra itself gives app-only tokens
// 60 to 90 minutes and managed identities 24 hours.
const (
	MinTokenLifetime     = 2 * time.Second
	MaxTokenLifetime     = 24 * time.Hour
	DefaultTokenLifetime = time.Hour
)

// Options are the settings of an emulator. The zero value is an Azure Cache
// for Redis on free ports of 127.0.0.1, with [DefaultPrincipals] and tokens of
// one hour.
type Options struct {
	// Flavor is the service to answer like; "" is FlavorACR.
	Flavor Flavor

	// TokenLifetime is between 2 s and 24 h; 0 is one hour. A principal's own
	// lifetime goes before it.
	TokenLifetime time.Duration

	// RefreshIn is sent as refresh_in with each token: after it, azidentity
	// asks for a new one. Whole seconds; 0 = not sent.
	RefreshIn time.Duration

	// Grace is how long after its token's end a connection is closed. Azure
	// does not document one; 0 closes at the end itself.
	Grace time.Duration

	// Principals are the identities of the tenant; nil = DefaultPrincipals.
	Principals []Principal

	// TenantID is the ID of the only tenant; "" = DefaultTenantID.
	TenantID string

	// Plaintext serves Redis without TLS, as Azure does not.
	Plaintext bool

	// RefuseHello answers HELLO as an unknown command, as older services do.
	RefuseHello bool

	// AuthDelay holds back the answer to each AUTH and HELLO AUTH. The service
	// may take up to 10 s to validate a token.
	AuthDelay time.Duration

	// RedisAddr, IssuerAddr and IdentityAddr are the addresses to listen on;
	// "" = a free port of 127.0.0.1. The identity address serves managed
	// identity over plain HTTP.
	RedisAddr, IssuerAddr, IdentityAddr string

	// NoListen opens no sockets: only Dial and HTTPClient reach the emulator.
	// It then works inside a testing/synctest bubble.
	NoListen bool

	// Backend opens a connection to the Redis that holds the data, one for
	// each client connection; nil = a miniredis in this process.
	Backend func(context.Context) (net.Conn, error)

	// Logger gets what happens, never a token or a secret; nil = silent.
	Logger *slog.Logger
}

// withDefaults returns a complete copy, or an error that names the setting.
func (o Options) withDefaults() (Options, error) {
	switch o.Flavor {
	case "":
		o.Flavor = FlavorACR
	case FlavorACR, FlavorAMR, FlavorRedis:
	default:
		return o, fmt.Errorf("flavor %q is none of %q, %q and %q", o.Flavor, FlavorACR, FlavorAMR, FlavorRedis)
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = DefaultTokenLifetime
	}
	if err := checkLifetime(o.TokenLifetime); err != nil {
		return o, err
	}
	if o.RefreshIn != 0 && (o.RefreshIn < time.Second || o.RefreshIn%time.Second != 0) {
		return o, fmt.Errorf("refresh-in %v is not a whole number of seconds", o.RefreshIn)
	}
	if o.Grace < 0 || o.AuthDelay < 0 {
		return o, errors.New("grace and auth delay cannot be negative")
	}
	if o.NoListen && (o.RedisAddr != "" || o.IssuerAddr != "" || o.IdentityAddr != "") {
		return o, errors.New("an address is set although nothing listens (NoListen)")
	}
	if o.TenantID == "" {
		o.TenantID = DefaultTenantID
	}
	if o.Principals == nil {
		o.Principals = DefaultPrincipals()
	}
	for _, addr := range []*string{&o.RedisAddr, &o.IssuerAddr, &o.IdentityAddr} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, checkPrincipals(o.Principals)
}

func checkLifetime(d time.Duration) error {
	if d < MinTokenLifetime || d > MaxTokenLifetime {
		return fmt.Errorf("token lifetime %v is not between %v and %v", d, MinTokenLifetime, MaxTokenLifetime)
	}
	return nil
}

// checkPrincipals refuses what would make an identity ambiguous or unusable.
func checkPrincipals(principals []Principal) error {
	seen := map[string]bool{}
	once := func(what, value string) error {
		if value == "" {
			return nil
		}
		if key := what + " " + value; seen[key] {
			return fmt.Errorf("two principals have the %s %q", what, value)
		} else {
			seen[key] = true
		}
		return nil
	}
	for _, p := range principals {
		if p.Name == "" || p.ObjectID == "" {
			return fmt.Errorf("principal %q (object ID %q) needs a name and an object ID", p.Name, p.ObjectID)
		}
		switch p.Kind {
		case PrincipalUser, PrincipalApp, PrincipalManagedIdentity:
		default:
			return fmt.Errorf("principal %q: kind %q is none of %q, %q, %q", p.Name, p.Kind, PrincipalUser, PrincipalApp, PrincipalManagedIdentity)
		}
		if p.TokenLifetime != 0 {
			if err := checkLifetime(p.TokenLifetime); err != nil {
				return fmt.Errorf("principal %q: %w", p.Name, err)
			}
		}
		if (p.FederatedIssuer == "") != (p.FederatedKey == nil) {
			return fmt.Errorf("principal %q: a federated issuer needs its key, and the key its issuer", p.Name)
		}
		if _, err := parsePolicy(p.Policy); err != nil {
			return fmt.Errorf("principal %q: %w", p.Name, err)
		}
		if err := errors.Join(once("name", p.Name), once("object ID", p.ObjectID), once("client ID", p.ClientID), once("UPN", p.UPN)); err != nil {
			return err
		}
	}
	return nil
}

// parsePolicy reads the name of a built-in access policy or a rule string; nil
// stands for "not assigned".
func parsePolicy(policy string) (*acl.Rules, error) {
	if policy == "" {
		return nil, nil
	}
	rules, ok := acl.Named(policy)
	if !ok {
		rules = policy
	}
	r, err := acl.Parse(rules)
	if err != nil {
		return nil, fmt.Errorf("access policy %q is neither %q, %q or %q nor a rule string such as %q: %w",
			policy, PolicyDataOwner, PolicyDataContributor, PolicyDataReader, "+@read ~app:*", err)
	}
	return r, nil
}
