package credential

import (
	"fmt"
	"slices"
	"strings"
)

// rule lists the settings that a kind needs and those it can use.
type rule struct {
	required, optional []string
}

var (
	authoritySettings = []string{"Cloud", "AuthorityHost", "CAFile", "DisableInstanceDiscovery"}
	tenantSettings    = []string{"AdditionallyAllowedTenants"}
	identitySettings  = []string{"ClientID", "ObjectID", "ResourceID"}
)

var rules = map[Kind]rule{
	Default:            {optional: slices.Concat([]string{"TenantID"}, identitySettings, authoritySettings, tenantSettings)},
	Environment:        {optional: authoritySettings},
	WorkloadIdentity:   {optional: slices.Concat([]string{"TenantID", "ClientID", "AssertionFile"}, authoritySettings, tenantSettings)},
	ManagedIdentity:    {optional: identitySettings},
	ClientSecret:       {required: []string{"TenantID", "ClientID", "ClientSecret"}, optional: slices.Concat(authoritySettings, tenantSettings)},
	ClientCertificate:  {required: []string{"TenantID", "ClientID", "CertificatePath"}, optional: slices.Concat([]string{"CertificatePassword", "SendCertificateChain"}, authoritySettings, tenantSettings)},
	ClientAssertion:    {required: []string{"TenantID", "ClientID"}, optional: slices.Concat([]string{"AssertionFile", "Assertion"}, authoritySettings, tenantSettings)},
	UsernamePassword:   {required: []string{"TenantID", "ClientID", "Username", "Password"}, optional: slices.Concat(authoritySettings, tenantSettings)},
	AzureCLI:           {optional: slices.Concat([]string{"TenantID"}, tenantSettings)},
	AzureDeveloperCLI:  {optional: slices.Concat([]string{"TenantID"}, tenantSettings)},
	DeviceCode:         {optional: slices.Concat([]string{"TenantID", "ClientID"}, authoritySettings, tenantSettings)},
	InteractiveBrowser: {optional: slices.Concat([]string{"TenantID", "ClientID", "RedirectURL", "LoginHint"}, authoritySettings, tenantSettings)},
}

func (r rule) uses(setting string) bool {
	return slices.Contains(r.required, setting) || slices.Contains(r.optional, setting)
}

// missingRemedies says where a user finds the value of a required setting.
var missingRemedies = map[string]string{
	"TenantID":        "give the directory (tenant) ID, shown on the application's overview page in Microsoft Entra",
	"ClientID":        "give the application (client) ID, shown on the application's overview page in Microsoft Entra",
	"ClientSecret":    "give the value (not the ID) of a secret of the application",
	"CertificatePath": "give the path of a PEM or PFX file with the application's certificate and private key",
	"Username":        "give the user's sign-in name, such as ada@contoso.com",
	"Password":        "give the user's password",
}

// check finds settings that the kind needs and has not, or has and cannot use.
func check(kind Kind, s Settings) error {
	r := rules[kind]
	for _, name := range s.given() {
		if !r.uses(name) && !slices.Contains(alwaysAllowed, name) {
			return &SettingError{Setting: name, Problem: "is set but not used by this kind", Remedy: unusedRemedy(kind, name), Unused: true}
		}
	}
	for _, name := range r.required {
		if !s.has(name) {
			return &SettingError{Setting: name, Problem: "is not set", Remedy: missingRemedies[name]}
		}
	}
	if s.TenantID != "" && !validTenant(s.TenantID) {
		return &SettingError{Setting: "TenantID", Problem: quoted(s.TenantID) + " is no tenant ID or domain name",
			Remedy: "give the directory's GUID or a domain such as contoso.onmicrosoft.com, without scheme or slash"}
	}
	if ids := chosen(s, identitySettings); len(ids) > 1 {
		return &SettingError{Setting: ids[1], Problem: "is set together with " + ids[0], Remedy: "identify the managed identity by one of " + strings.Join(identitySettings, ", ")}
	}
	if s.CAFile != "" && s.Transport != nil {
		return &SettingError{Setting: "CAFile", Problem: "is set together with Transport", Remedy: "let Transport trust the file, or leave Transport unset"}
	}
	return nil
}

// chosen returns those of names that are set.
func chosen(s Settings, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !s.has(n) })
}

func unusedRemedy(kind Kind, setting string) string {
	switch {
	case kind == AzureCLI && slices.Contains(authoritySettings, setting):
		return `remove it; the Azure CLI has its own configuration, see "az cloud set"`
	case kind == AzureDeveloperCLI && slices.Contains(authoritySettings, setting):
		return `remove it; the Azure Developer CLI has its own configuration, see "azd config set cloud.name"`
	case kind == ManagedIdentity && slices.Contains(authoritySettings, setting):
		return "remove it; a managed identity's tokens come from the machine it is assigned to, in any cloud"
	case kind == Environment && len(environmentNames[setting]) > 0:
		return fmt.Sprintf("set the environment variable %s instead", environmentNames[setting])
	}
	var others []Kind
	for _, k := range kinds {
		if rules[k].uses(setting) {
			others = append(others, k)
		}
	}
	return "remove it, or choose a kind that uses it: " + joinKinds(others)
}

// validTenant reports whether s can stand as a path element of an authority
// URL, by the rule azidentity applies.
func validTenant(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !alphanumeric && r != '.' && r != '-'
	})
}
