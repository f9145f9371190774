package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/adapter/goredis"
	entraid "github.com/redis/go-redis-entraid"
	"github.com/redis/go-redis-entraid/identity"
	"github.com/redis/go-redis-entraid/manager"
	"github.com/redis/go-redis-entraid/shared"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
)

// A contestant is a way to keep go-redis authenticated.
type contestant struct {
	name string
	ours bool
	// hook says that go-redis's StreamingCredentialsProvider carries the tokens, whose own limits no provider can lift
	// (idle and held connections are not re-authenticated; Conn, Watch and NewFailoverClient panic).
	hook bool
	fit  func(w *world) (fit, error)
}

// A fit is what a contestant puts into a client's options. close ends what it started.
type fit struct {
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	tls       *tls.Config
	streaming auth.StreamingCredentialsProvider
	close     func()
}

// The peer's own confidential-client provider has no setting for a transport; it is reached through
// http.DefaultTransport, which is why each case has a process of its own (world.go).
var contestants = []contestant{
	{name: "dialer", ours: true, fit: fitDialer},
	{name: "adapter", ours: true, hook: true, fit: fitAdapter},
	{name: "peer", hook: true, fit: fitPeer},
	{name: "peer-azure", hook: true, fit: fitPeerAzure},
}

// defaultContestants leaves peer-azure to the issuer table: the two peers differ only in how they ask for a token.
func defaultContestants(table string, short bool) []string {
	names := []string{"dialer", "adapter", "peer"}
	if table == "issuer" && !short {
		names = append(names, "peer-azure")
	}
	return names
}

func contestantNamed(name string) (contestant, error) {
	for _, c := range contestants {
		if c.name == name {
			return c, nil
		}
	}
	return contestant{}, fmt.Errorf("no contestant %q", name)
}

// options fits the contestant into o.
func (f fit) options(o *redis.Options) *redis.Options {
	o.Dialer, o.TLSConfig, o.StreamingCredentialsProvider = f.dial, f.tls, f.streaming
	return o
}

// fitDialer is our Source with go-redis on top of the Dialer.
func fitDialer(w *world) (fit, error) {
	source, err := newSource(w)
	if err != nil {
		return fit{}, err
	}
	d := &entraredis.Dialer{Source: source, TLSConfig: w.tlsConfig(), Plaintext: w.plaintext}
	return fit{dial: d.DialContext, close: func() { _ = source.Close() }}, nil
}

// fitAdapter is our Source in go-redis's own credentials hook.
func fitAdapter(w *world) (fit, error) {
	source, err := newSource(w)
	if err != nil {
		return fit{}, err
	}
	return fit{tls: w.tlsConfig(), streaming: goredis.New(source), close: func() { _ = source.Close() }}, nil
}

func newSource(w *world) (*entraredis.Source, error) {
	credential, err := azureCredential(w)
	if err != nil {
		return nil, err
	}
	return entraredis.New(credential, nil)
}

// azureCredential is azidentity's client-secret credential with its default retries.
func azureCredential(w *world) (azcore.TokenCredential, error) {
	app := w.emulator.Principal("app")
	return azidentity.NewClientSecretCredential(w.emulator.TenantID(), app.ClientID, app.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{
			ClientOptions: policy.ClientOptions{
				Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: w.emulator.IssuerURL()},
				Transport: w.gate.client(),
			},
			DisableInstanceDiscovery: true,
		})
}

// fitPeer is go-redis-entraid as its README has it: its own confidential-client provider, all defaults.
func fitPeer(w *world) (fit, error) {
	app := w.emulator.Principal("app")
	provider, err := entraid.NewConfidentialCredentialsProvider(entraid.ConfidentialCredentialsProviderOptions{
		ConfidentialIdentityProviderOptions: identity.ConfidentialIdentityProviderOptions{
			ClientID:        app.ClientID,
			ClientSecret:    app.ClientSecret,
			CredentialsType: identity.ClientSecretCredentialType,
			Authority: identity.AuthorityConfiguration{
				AuthorityType: identity.AuthorityTypeCustom,
				Authority:     w.emulator.IssuerURL() + "/" + w.emulator.TenantID(),
			},
		},
	})
	if err != nil {
		return fit{}, err
	}
	return fit{tls: w.tlsConfig(), streaming: provider, close: func() {}}, nil
}

// fitPeerAzure is go-redis-entraid over the very credential that ours has, so that azidentity's retries help both.
func fitPeerAzure(w *world) (fit, error) {
	credential, err := azureCredential(w)
	if err != nil {
		return fit{}, err
	}
	tokens, err := manager.NewTokenManager(azureProvider{credential}, manager.TokenManagerOptions{})
	if err != nil {
		return fit{}, err
	}
	provider, err := entraid.NewCredentialsProvider(tokens, entraid.CredentialsProviderOptions{})
	if err != nil {
		return fit{}, err
	}
	return fit{tls: w.tlsConfig(), streaming: provider, close: func() {}}, nil
}

// azureProvider is go-redis-entraid's IdentityProvider over any azcore credential.
type azureProvider struct{ credential azcore.TokenCredential }

func (p azureProvider) RequestToken(ctx context.Context) (shared.IdentityProviderResponse, error) {
	token, err := p.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{identity.RedisScopeDefault}})
	if err != nil {
		return nil, err
	}
	return shared.NewIDPResponse(shared.ResponseTypeAccessToken, &token)
}
