package credential

import (
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// managedIdentityRetry makes it known within seconds that there is no
// managed identity here. azidentity's own values for the instance metadata
// service (6 retries, up to 25 s apart) take more than a minute, which is
// what a developer's machine shows as a hang. Whoever keeps a token fresh
// tries again anyway.
var managedIdentityRetry = policy.RetryOptions{
	MaxRetries:    2,
	RetryDelay:    500 * time.Millisecond,
	MaxRetryDelay: 2 * time.Second,
	TryTimeout:    5 * time.Second,
}

func newManagedIdentity(s Settings) (azcore.TokenCredential, error) {
	return managedIdentity(s, managedIdentityRetry)
}

func managedIdentity(s Settings, retry policy.RetryOptions) (azcore.TokenCredential, error) {
	o := &azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Retry: retry, Transport: s.Transport},
	}
	if o.Transport == nil {
		o.Transport = newLocalClient()
	}
	setting := ""
	switch {
	case s.ClientID != "":
		setting, o.ID = "ClientID", azidentity.ClientID(s.ClientID)
	case s.ObjectID != "":
		setting, o.ID = "ObjectID", azidentity.ObjectID(s.ObjectID)
	case s.ResourceID != "":
		setting, o.ID = "ResourceID", azidentity.ResourceID(s.ResourceID)
	}
	cred, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil && setting != "" {
		return nil, &SettingError{Setting: setting, Problem: "cannot be used on this Azure service", Err: err,
			Remedy: "use ClientID, or the identity that is assigned to the service by default"}
	}
	if err != nil {
		return nil, err
	}
	return cred, nil
}

// newLocalClient returns a client for identity endpoints, which are on the
// machine itself: a connection is made at once or not at all, and a proxy
// never helps (Azure Instance Metadata Service, "Proxies").
func newLocalClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:     (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConns:    2,
		IdleConnTimeout: 30 * time.Second,
	}}
}
