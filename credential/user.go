package credential

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// newUsernamePassword is for accounts without multifactor authentication
// only. Microsoft deprecates the grant and advises against it; it remains
// because test users and old service accounts exist.
func newUsernamePassword(s Settings) (azcore.TokenCredential, error) {
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 deprecated, and offered with that warning
	options := azidentity.UsernamePasswordCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		DisableInstanceDiscovery:   noDiscovery,
	}
	return azidentity.NewUsernamePasswordCredential(s.TenantID, s.ClientID, s.Username, s.Password, &options)
}

func newDeviceCode(s Settings) (azcore.TokenCredential, error) {
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	prompt := s.DeviceCodePrompt
	if prompt == nil {
		// azidentity prints to standard output, where a program that prints
		// a token for a script would mix the two.
		prompt = func(_ context.Context, _, _, message string) error {
			_, err := fmt.Fprintln(os.Stderr, message)
			return err
		}
	}
	return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		ClientID:                   s.ClientID,
		DisableInstanceDiscovery:   noDiscovery,
		TenantID:                   s.TenantID,
		UserPrompt: func(ctx context.Context, m azidentity.DeviceCodeMessage) error {
			return prompt(ctx, m.UserCode, m.VerificationURL, m.Message)
		},
	})
}

func newInteractiveBrowser(s Settings) (azcore.TokenCredential, error) {
	if s.RedirectURL != "" {
		u, err := url.Parse(s.RedirectURL)
		if err != nil || u.Scheme != "http" || u.Hostname() != "localhost" {
			return nil, &SettingError{Setting: "RedirectURL", Problem: quoted(s.RedirectURL) + " is not on http://localhost",
				Remedy: "register http://localhost as a redirect URI of the application, under mobile and desktop applications, and leave RedirectURL empty"}
		}
	}
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	if s.OpenBrowser != nil {
		return newBrowser(s, client, noDiscovery)
	}
	return azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		ClientID:                   s.ClientID,
		DisableInstanceDiscovery:   noDiscovery,
		LoginHint:                  s.LoginHint,
		RedirectURL:                s.RedirectURL,
		TenantID:                   s.TenantID,
	})
}
