package credential

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// chainRetry keeps azcore's number of retries for requests to Entra and cuts
// those to something that answers in the place of the instance metadata
// service, as other clouds' metadata services do with 404, to seconds.
var chainRetry = policy.RetryOptions{MaxRetries: 3, RetryDelay: 800 * time.Millisecond, MaxRetryDelay: 4 * time.Second}

// newDefault is azidentity's DefaultAzureCredential, except when a managed
// identity is chosen. DefaultAzureCredential takes that choice only from the
// variable AZURE_CLIENT_ID, and never as an object or resource ID; ignoring
// the setting would authenticate another identity without a word, and
// changing a variable of the whole process is not ours to do. So the same
// chain is then built from its parts.
func newDefault(s Settings) (azcore.TokenCredential, error) {
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	selected, err := selectedCredentials()
	if err != nil {
		return nil, err
	}
	if len(chosen(s, identitySettings)) > 0 {
		return newChain(s, selected)
	}
	client.Retry = chainRetry
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		DisableInstanceDiscovery:   noDiscovery,
		TenantID:                   s.TenantID,
	})
}

// chainNames are the members of DefaultAzureCredential in its order, by the
// names that AZURE_TOKEN_CREDENTIALS knows.
var chainNames = []string{
	"EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential",
	"AzureCLICredential", "AzureDeveloperCLICredential", "AzurePowerShellCredential",
}

// selectedCredentials returns the names that AZURE_TOKEN_CREDENTIALS leaves in
// the chain.
func selectedCredentials() ([]string, error) {
	v, set := os.LookupEnv("AZURE_TOKEN_CREDENTIALS")
	switch {
	case !set:
		return chainNames, nil
	case v == "prod":
		return chainNames[:3], nil
	case v == "dev":
		return chainNames[3:], nil
	}
	for i, name := range chainNames {
		if strings.EqualFold(v, name) {
			return chainNames[i : i+1], nil
		}
	}
	return nil, &SettingError{Setting: "AZURE_TOKEN_CREDENTIALS", Problem: quoted(v) + " is not known",
		Remedy: "unset it, or set it to dev, prod or one of " + strings.Join(chainNames, ", ")}
}

// newChain builds DefaultAzureCredential's chain with s.ClientID in place of
// AZURE_CLIENT_ID for workload identity, and the chosen identity for managed
// identity.
func newChain(s Settings, selected []string) (azcore.TokenCredential, error) {
	network := Settings{Cloud: s.Cloud, AuthorityHost: s.AuthorityHost, CAFile: s.CAFile,
		DisableInstanceDiscovery: s.DisableInstanceDiscovery, Transport: s.Transport}
	tools := Settings{TenantID: s.TenantID, AdditionallyAllowedTenants: s.AdditionallyAllowedTenants}
	workload := network
	workload.TenantID, workload.ClientID, workload.AdditionallyAllowedTenants = s.TenantID, s.ClientID, s.AdditionallyAllowedTenants

	always := func(error) bool { return true }
	never := func(error) bool { return false }
	members := []struct {
		build  func(Settings) (azcore.TokenCredential, error)
		using  Settings
		passOn func(error) bool
	}{
		{newEnvironment, network, never},
		{newWorkloadIdentity, workload, never},
		{newChainedManagedIdentity, s, noAnswer},
		{newAzureCLI, tools, always},
		{newAzureDeveloperCLI, tools, always},
		{newAzurePowerShell, tools, always},
	}
	var sources []azcore.TokenCredential
	for i, m := range members {
		if !slices.Contains(selected, chainNames[i]) {
			continue
		}
		cred, err := m.build(m.using)
		sources = append(sources, link{chainNames[i], cred, err, m.passOn})
	}
	return azidentity.NewChainedTokenCredential(sources, nil)
}

// newChainedManagedIdentity tries once: on a developer's machine the chain is
// on its way to the Azure CLI, and on Azure the connection is local.
func newChainedManagedIdentity(s Settings) (azcore.TokenCredential, error) {
	once := managedIdentityRetry
	once.MaxRetries = -1
	return managedIdentity(s, once)
}

// noAnswer reports whether the error is that no identity endpoint answered,
// which says that this is no Azure machine. A refusal is an answer.
func noAnswer(err error) bool {
	var failed *azidentity.AuthenticationFailedError
	return errors.As(err, &failed) && failed.RawResponse == nil
}

// link is a member of the chain. It makes the failures that do not count
// unavailability, upon which the chain goes on to its next member: the
// credential could not be built, or passOn says so.
type link struct {
	name   string
	cred   azcore.TokenCredential
	err    error // of building cred
	passOn func(error) bool
}

func (l link) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if l.err != nil {
		return azcore.AccessToken{}, azidentity.NewCredentialUnavailableError(l.name + ": " + l.err.Error())
	}
	token, err := l.cred.GetToken(ctx, o)
	if err != nil && ctx.Err() == nil && l.passOn(err) {
		err = azidentity.NewCredentialUnavailableError(err.Error())
	}
	return token, err
}

var _ azcore.TokenCredential = link{}
