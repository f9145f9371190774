package credential

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// azureDevelopmentApp is the application that azidentity signs users in to
// when none is given; it is the one of the Azure CLI.
const azureDevelopmentApp = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// browserCredential is azidentity's InteractiveBrowserCredential with a choice
// of what shows the page. azidentity always starts the system's browser, which
// a remote shell and a test do not have; the library below it can be told.
type browserCredential struct {
	settings Settings
	client   public.Client
	turn     chan struct{} // one sign-in at a time; waiting honours the context
	account  public.Account
}

func newBrowser(s Settings, o azcore.ClientOptions, noDiscovery bool) (azcore.TokenCredential, error) {
	host := cmp.Or(o.Cloud.ActiveDirectoryAuthorityHost, clouds["public"].ActiveDirectoryAuthorityHost)
	client, err := public.New(cmp.Or(s.ClientID, azureDevelopmentApp),
		public.WithAuthority(runtime.JoinPaths(host, cmp.Or(s.TenantID, "organizations"))),
		public.WithHTTPClient(pipelineClient{runtime.NewPipeline("entraredis", "", runtime.PipelineOptions{}, &o)}),
		public.WithInstanceDiscovery(!noDiscovery),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare browser sign-in: %w", err)
	}
	return &browserCredential{settings: s, client: client, turn: make(chan struct{}, 1)}, nil
}

func (b *browserCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	tenant, err := b.tenant(o.TenantID)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
	result, err := b.client.AcquireTokenSilent(ctx, o.Scopes, public.WithSilentAccount(b.account), public.WithClaims(o.Claims), public.WithTenantID(tenant))
	if err != nil {
		result, err = b.client.AcquireTokenInteractive(ctx, o.Scopes,
			public.WithOpenURL(b.settings.OpenBrowser),
			public.WithLoginHint(b.settings.LoginHint),
			public.WithRedirectURI(b.settings.RedirectURL),
			public.WithClaims(o.Claims),
			public.WithTenantID(tenant))
	}
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("sign in with the browser: %w", err)
	}
	b.account = result.Account
	return azcore.AccessToken{Token: result.AccessToken, ExpiresOn: result.ExpiresOn.UTC(), RefreshOn: result.Metadata.RefreshOn.UTC()}, nil
}

// tenant applies azidentity's rule for the tenant of one request; empty stands
// for the credential's own.
func (b *browserCredential) tenant(wanted string) (string, error) {
	own, others := b.settings.TenantID, b.settings.AdditionallyAllowedTenants
	switch {
	case wanted == "" || wanted == own:
		return "", nil
	case slices.Contains(others, "*"), slices.Contains(others, wanted), own == "" && len(others) == 0:
		return wanted, nil
	}
	return "", fmt.Errorf("tenant %q is not among AdditionallyAllowedTenants", wanted)
}

// pipelineClient gives the library azcore's retries and transport.
type pipelineClient struct{ pipeline runtime.Pipeline }

func (c pipelineClient) Do(r *http.Request) (*http.Response, error) {
	request, err := runtime.NewRequestFromRequest(r)
	if err != nil {
		return nil, err
	}
	return c.pipeline.Do(request)
}

func (pipelineClient) CloseIdleConnections() {}

var _ azcore.TokenCredential = (*browserCredential)(nil)
