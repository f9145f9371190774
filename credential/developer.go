package credential

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func newAzureCLI(s Settings) (azcore.TokenCredential, error) {
	return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		TenantID:                   s.TenantID,
	})
}

func newAzureDeveloperCLI(s Settings) (azcore.TokenCredential, error) {
	return azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		TenantID:                   s.TenantID,
	})
}

func newAzurePowerShell(s Settings) (azcore.TokenCredential, error) {
	return azidentity.NewAzurePowerShellCredential(&azidentity.AzurePowerShellCredentialOptions{
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		TenantID:                   s.TenantID,
	})
}
