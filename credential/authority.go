package credential

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

// clouds maps the values of Settings.Cloud to azcore's configurations.
var clouds = map[string]cloud.Configuration{
	"public": cloud.AzurePublic,
	"china":  cloud.AzureChina,
	"usgov":  cloud.AzureGovernment,
}

var cloudNames = []string{"public", "china", "usgov"}

// microsoftHosts are authorities that instance discovery knows; it is safe and
// useful with them, and impossible with all others. The list is the one of the
// Microsoft Authentication Library for Go.
var microsoftHosts = map[string]bool{
	"login.microsoftonline.com": true, "login.microsoft.com": true, "login.windows.net": true, "sts.windows.net": true,
	"login.partner.microsoftonline.cn": true, "login.chinacloudapi.cn": true,
	"login.microsoftonline.us": true, "login-us.microsoftonline.com": true, "login.usgovcloudapi.net": true,
	"login.microsoftonline.de": true, "login.sovcloud-identity.fr": true, "login.sovcloud-identity.de": true, "login.sovcloud-identity.sg": true,
}

// authority returns the pipeline options for requests to the authority, and
// whether instance discovery must not be tried: an authority that Microsoft
// does not know would cost a request to login.microsoftonline.com, which
// offline is a time-out and otherwise a refusal.
func authority(s Settings) (o azcore.ClientOptions, noDiscovery bool, err error) {
	noDiscovery = s.DisableInstanceDiscovery
	if s.Cloud != "" && s.AuthorityHost != "" {
		return o, false, &SettingError{Setting: "AuthorityHost", Problem: "is set together with Cloud", Remedy: "keep one of them: a cloud has its own authority"}
	}
	host, from := s.AuthorityHost, "AuthorityHost"
	switch {
	case s.Cloud != "":
		c, known := clouds[s.Cloud]
		if !known {
			return o, false, &SettingError{Setting: "Cloud", Problem: quoted(s.Cloud) + " is not known",
				Remedy: suggest(s.Cloud, cloudNames) + "choose one of " + strings.Join(cloudNames, ", ") + ", or set AuthorityHost"}
		}
		o.Cloud = c
	case host == "":
		// azidentity would use the variable as well; read here, it gets the
		// same checks, and discovery is disabled where it must be.
		host, from = os.Getenv("AZURE_AUTHORITY_HOST"), "AZURE_AUTHORITY_HOST"
	}
	if host != "" {
		u, err := parseAuthority(host, from)
		if err != nil {
			return o, false, err
		}
		o.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: u.String()}
		noDiscovery = noDiscovery || !microsoftHosts[strings.ToLower(u.Host)]
	}
	o.Transport = s.Transport
	if s.CAFile != "" {
		roots, err := loadRoots(s.CAFile)
		if err != nil {
			return o, false, err
		}
		o.Transport = newHTTPClient(roots)
	}
	return o, noDiscovery, nil
}

func parseAuthority(raw, setting string) (*url.URL, error) {
	const remedy = "give scheme and host only, such as https://login.microsoftonline.us"
	u, err := url.Parse(raw)
	if err != nil {
		// url.Parse quotes its input, which may hold a password.
		return nil, &SettingError{Setting: setting, Problem: "is not a URL", Remedy: remedy}
	}
	problem := ""
	switch {
	case u.Scheme != "https":
		problem = "is not an https URL"
	case u.Host == "":
		problem = "has no host"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		problem = "holds more than a host"
	case strings.Trim(u.Path, "/") != "":
		return nil, &SettingError{Setting: setting, Problem: "holds a path", Remedy: remedy + ", and the tenant in TenantID"}
	}
	if problem != "" {
		return nil, &SettingError{Setting: setting, Problem: problem, Remedy: remedy}
	}
	return u, nil
}

// loadRoots returns the system's roots and those in the PEM file.
func loadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, &SettingError{Setting: "CAFile", Problem: "cannot be read", Err: err, Remedy: "give the path of a PEM file"}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, &SettingError{Setting: "CAFile", Problem: quoted(path) + " holds no PEM certificate",
			Remedy: "convert it with: openssl x509 -inform der -in ca.cer -out ca.pem"}
	}
	return roots, nil
}

// newHTTPClient returns a client for requests to an authority. Its limits end
// a dead connection well before the 30 seconds a token request is given by
// default, so that azidentity's retries have a chance.
func newHTTPClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          10,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}}
}
