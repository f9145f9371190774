package credential

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func newClientSecret(s Settings) (azcore.TokenCredential, error) {
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientSecretCredential(s.TenantID, s.ClientID, s.ClientSecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		DisableInstanceDiscovery:   noDiscovery,
	})
}

func newClientCertificate(s Settings) (azcore.TokenCredential, error) {
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	certs, key, err := loadCertificate(s.CertificatePath, s.CertificatePassword)
	if err != nil {
		return nil, err
	}
	cred, err := azidentity.NewClientCertificateCredential(s.TenantID, s.ClientID, certs, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		DisableInstanceDiscovery:   noDiscovery,
		SendCertificateChain:       s.SendCertificateChain,
	})
	if err != nil {
		return nil, &SettingError{Setting: "CertificatePath", Problem: quoted(s.CertificatePath) + " cannot be used", Err: err,
			Remedy: "give one RSA private key and the certificate made for it"}
	}
	return cred, nil
}

func newClientAssertion(s Settings) (azcore.TokenCredential, error) {
	assertion := s.Assertion
	switch {
	case assertion != nil && s.AssertionFile != "":
		return nil, &SettingError{Setting: "AssertionFile", Problem: "is set together with Assertion", Remedy: "keep one of them"}
	case assertion == nil && s.AssertionFile == "":
		return nil, &SettingError{Setting: "AssertionFile", Problem: "is not set", Remedy: "give the path of a file with a signed assertion, or set Assertion"}
	case assertion == nil:
		if _, err := readAssertion(s.AssertionFile); err != nil {
			return nil, err
		}
		assertion = func(context.Context) (string, error) { return readAssertion(s.AssertionFile) }
	}
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	return azidentity.NewClientAssertionCredential(s.TenantID, s.ClientID, assertion, &azidentity.ClientAssertionCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		DisableInstanceDiscovery:   noDiscovery,
	})
}

// readAssertion returns the file's content without the white space that
// editors and shells add, which Entra refuses.
func readAssertion(path string) (string, error) {
	const remedy = "give the path of a file with a signed assertion or service account token"
	content, err := os.ReadFile(path)
	if err != nil {
		return "", &SettingError{Setting: "AssertionFile", Problem: "cannot be read", Err: err, Remedy: remedy}
	}
	assertion := strings.TrimSpace(string(content))
	if assertion == "" {
		return "", &SettingError{Setting: "AssertionFile", Problem: quoted(path) + " is empty", Remedy: remedy}
	}
	return assertion, nil
}

// newWorkloadIdentity takes what is not given from the variables that the
// workload identity webhook of Azure Kubernetes Service sets.
func newWorkloadIdentity(s Settings) (azcore.TokenCredential, error) {
	for _, v := range []struct {
		field         *string
		setting, name string
	}{
		{&s.TenantID, "TenantID", "AZURE_TENANT_ID"},
		{&s.ClientID, "ClientID", "AZURE_CLIENT_ID"},
		{&s.AssertionFile, "AssertionFile", "AZURE_FEDERATED_TOKEN_FILE"},
	} {
		if *v.field == "" {
			*v.field = os.Getenv(v.name)
		}
		if *v.field == "" {
			return nil, &SettingError{Setting: v.setting, Problem: "is not set, and neither is " + v.name,
				Remedy: `set it, or label the pod azure.workload.identity/use: "true" and annotate its service account with the client ID`}
		}
	}
	if _, err := readAssertion(s.AssertionFile); err != nil {
		return nil, err
	}
	client, noDiscovery, err := authority(s)
	if err != nil {
		return nil, err
	}
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions:              client,
		AdditionallyAllowedTenants: s.AdditionallyAllowedTenants,
		ClientID:                   s.ClientID,
		DisableInstanceDiscovery:   noDiscovery,
		TenantID:                   s.TenantID,
		TokenFilePath:              s.AssertionFile,
	})
}

// environmentNames maps the settings that Environment reads from the
// environment to the variables it reads them from.
var environmentNames = map[string]string{
	"TenantID":                   "AZURE_TENANT_ID",
	"ClientID":                   "AZURE_CLIENT_ID",
	"ClientSecret":               "AZURE_CLIENT_SECRET",
	"CertificatePath":            "AZURE_CLIENT_CERTIFICATE_PATH",
	"CertificatePassword":        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
	"SendCertificateChain":       "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
	"Username":                   "AZURE_USERNAME",
	"Password":                   "AZURE_PASSWORD",
	"AdditionallyAllowedTenants": "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
}

// newEnvironment reads the variables of azidentity's EnvironmentCredential, in
// its order of precedence. It does not use that type because its certificate
// loader knows neither PFX files made with today's algorithms nor encrypted
// PEM keys: the same file must work here and as CertificatePath.
func newEnvironment(s Settings) (azcore.TokenCredential, error) {
	s.TenantID = os.Getenv("AZURE_TENANT_ID")
	s.ClientID = os.Getenv("AZURE_CLIENT_ID")
	s.AdditionallyAllowedTenants = strings.FieldsFunc(os.Getenv("AZURE_ADDITIONALLY_ALLOWED_TENANTS"), func(r rune) bool { return r == ';' })

	kind, build := Kind(""), (func(Settings) (azcore.TokenCredential, error))(nil)
	if secret := os.Getenv("AZURE_CLIENT_SECRET"); secret != "" {
		kind, build = ClientSecret, newClientSecret
		s.ClientSecret = secret
	} else if path := os.Getenv("AZURE_CLIENT_CERTIFICATE_PATH"); path != "" {
		kind, build = ClientCertificate, newClientCertificate
		s.CertificatePath, s.CertificatePassword = path, os.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD")
		send := strings.ToLower(os.Getenv("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"))
		s.SendCertificateChain = send == "1" || send == "true"
	} else if user := os.Getenv("AZURE_USERNAME"); user != "" {
		kind, build = UsernamePassword, newUsernamePassword
		s.Username, s.Password = user, os.Getenv("AZURE_PASSWORD")
	} else {
		return nil, &SettingError{Setting: "AZURE_CLIENT_SECRET", Problem: "is not set",
			Remedy: "set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, or AZURE_USERNAME with AZURE_PASSWORD"}
	}
	err := check(kind, s)
	if err == nil {
		var cred azcore.TokenCredential
		if cred, err = build(s); err == nil {
			return cred, nil
		}
	}
	var se *SettingError
	if errors.As(err, &se) && environmentNames[se.Setting] != "" {
		se.Setting = environmentNames[se.Setting]
	}
	return nil, err
}
