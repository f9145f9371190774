package emulator_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// with returns the app's good request with some parameters changed; an empty
// value takes one away.
func with(pairs ...string) url.Values {
	v := values("grant_type", "client_credentials", "client_id", emulator.AppClientID, "client_secret", emulator.AppClientSecret, "scope", scope)
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

func TestTokenRefusals(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	user := func(pairs ...string) url.Values {
		return with(append([]string{"grant_type", "password", "client_secret", "", "username", emulator.UserUPN, "password", emulator.UserPassword}, pairs...)...)
	}
	tests := map[string]struct {
		tenant string
		form   url.Values
		status int
		err    string
		code   float64
	}{
		"unknown tenant":       {"22222222-2222-4333-8444-555555555555", with(), 400, "invalid_request", 90002},
		"app on common":        {"common", with(), 400, "invalid_request", 50059},
		"unknown app":          {"", with("client_id", "c0000000-0000-4000-8000-00000000ffff"), 400, "unauthorized_client", 700016},
		"object ID as app":     {"", with("client_id", emulator.AppObjectID), 400, "unauthorized_client", 700016},
		"identity as app":      {"", with("client_id", emulator.UserIdentityClientID), 400, "unauthorized_client", 700016},
		"wrong secret":         {"", with("client_secret", "wrong"), 401, "invalid_client", 7000215},
		"no secret":            {"", with("client_secret", ""), 401, "invalid_client", 7000218},
		"no client ID":         {"", with("client_id", ""), 400, "invalid_request", 900144},
		"no grant type":        {"", with("grant_type", ""), 400, "invalid_request", 900144},
		"unknown grant type":   {"", with("grant_type", "please"), 400, "unsupported_grant_type", 70003},
		"no scope":             {"", with("scope", "openid offline_access"), 400, "invalid_request", 900144},
		"scope not .default":   {"", with("scope", "https://redis.azure.com/user_impersonation"), 400, "invalid_scope", 1002012},
		"resource for a scope": {"", with("scope", "acca5fbb-b7e4-4009-81f1-37e38fd66d78"), 400, "invalid_scope", 1002012},
		"GUID lacks a letter":  {"", with("scope", "cca5fbb-b7e4-4009-81f1-37e38fd66d78/.default"), 400, "invalid_resource", 500011},
		"unknown resource":     {"", with("scope", "https://redis.azure.us/.default"), 400, "invalid_resource", 500011},
		"two resources":        {"", with("scope", scope+" https://vault.azure.net/.default"), 400, "invalid_scope", 28000},
		"assertion type":       {"", with("client_assertion", "x"), 400, "", 900144},
		"wrong password":       {"", user("password", "wrong"), 400, "invalid_grant", 50126},
		"unknown user":         {"", user("username", "nobody@entraredis.test"), 400, "invalid_grant", 50034},
		"password on common":   {"common", user(), 400, "invalid_request", 9001023},
		"refresh token":        {"", with("grant_type", "refresh_token", "refresh_token", "nonsense"), 400, "invalid_grant", 70000},
		"access token for it":  {"", with("grant_type", "refresh_token", "refresh_token", e.Mint("ada", nil)), 400, "invalid_grant", 70000},
		"unknown device code":  {"", with("grant_type", "device_code", "device_code", "x"), 400, "bad_verification_code", 70018},
		"unknown code":         {"", with("grant_type", "authorization_code", "code", "x"), 400, "invalid_grant", 70000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			tenant := test.tenant
			if tenant == "" {
				tenant = e.TenantID()
			}
			status, answer := askToken(t, e, tenant, test.form)
			codes, _ := answer["error_codes"].([]any)
			if len(codes) != 1 || codes[0] != test.code {
				t.Fatalf("got %d %v, want code %v", status, answer, test.code)
			}
			if test.err != "" && (status != test.status || answer["error"] != test.err) {
				t.Errorf("got %d %v, want %d %s", status, answer["error"], test.status, test.err)
			}
			description, _ := answer["error_description"].(string)
			if !strings.HasPrefix(description, "AADSTS") || strings.Contains(description, emulator.AppClientSecret) {
				t.Errorf("description %q", description)
			}
		})
	}
	if got := e.Stats().TokensIssued; got != 0 {
		t.Errorf("%d tokens were issued", got)
	}
}

// An app-only answer with more in it would be stored by MSAL as a user's.
func TestAppAnswerHoldsOnlyTheToken(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true, RefreshIn: time.Minute})
	status, answer := askToken(t, e, e.TenantID(), with("scope", scope+" openid offline_access profile", "client_info", "1"))
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	checkToken(t, e, answer["access_token"].(string), emulator.AppObjectID, "https://redis.azure.com")
	delete(answer, "access_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 3600.0, "ext_expires_in": 3600.0, "refresh_in": 60.0}
	if !maps.Equal(answer, want) {
		t.Errorf("got %v, want %v", answer, want)
	}
}

// A token for the wrong resource is a real mistake: the issuer does not stop it.
func TestOtherResources(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	status, answer := askToken(t, e, e.TenantID(), with("scope", "https://management.azure.com//.default"))
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	checkToken(t, e, answer["access_token"].(string), emulator.AppObjectID, "https://management.azure.com/")
}

func TestNotEmulatedSaysSo(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	_, answer := askToken(t, e, e.TenantID(), with("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"))
	if answer["error"] != "not_emulated" {
		t.Errorf("on-behalf-of: got %v", answer)
	}
	for _, target := range []string{
		e.IssuerURL() + "/" + e.TenantID() + "/oauth2/token", e.IdentityURL() + "/metadata/instance?api-version=2021-02-01",
		e.IdentityURL() + "/msi/token?api-version=2017-09-01&resource=x",
	} {
		var answer map[string]any
		if getJSON(t, e, target, &answer); answer["error"] != "not_emulated" || !strings.HasPrefix(answer["error_description"].(string), "not emulated: ") {
			t.Errorf("%s: got %v", target, answer)
		}
	}
}

func TestDiscovery(t *testing.T) {
	e := emulator.RunT(t)
	for path, issuer := range map[string]string{
		"/" + e.TenantID() + "/v2.0": e.IssuerURL() + "/" + e.TenantID() + "/v2.0",
		"/common/v2.0":               e.IssuerURL() + "/common/v2.0",
		"/organizations/v2.0":        e.IssuerURL() + "/organizations/v2.0",
		"/" + e.TenantID():           "https://sts.windows.net/" + e.TenantID() + "/",
	} {
		var config map[string]any
		status := getJSON(t, e, e.IssuerURL()+path+"/.well-known/openid-configuration", &config)
		if status != http.StatusOK || config["issuer"] != issuer {
			t.Errorf("%s: %d, issuer %v, want %s", path, status, config["issuer"], issuer)
		}
		var keys map[string]any
		if status := getJSON(t, e, config["jwks_uri"].(string), &keys); status != http.StatusOK || keys["keys"] == nil {
			t.Errorf("%s: keys: %d %v", path, status, keys)
		}
	}
	var refused map[string]any
	if status := getJSON(t, e, e.IssuerURL()+"/nowhere/v2.0/.well-known/openid-configuration", &refused); status != 400 || refused["error"] != "invalid_tenant" {
		t.Errorf("unknown tenant: %d %v", status, refused)
	}
	if status := getJSON(t, e, e.IssuerURL()+"/common/discovery/instance?authorization_endpoint=nonsense", &refused); status != 400 || refused["error"] != "invalid_instance" {
		t.Errorf("invalid instance: %d %v", status, refused)
	}
}

func TestIdentityRefusals(t *testing.T) {
	two := emulator.DefaultPrincipals()[2:3]
	two = append(two, managedIdentity(t))
	none := []emulator.Principal{}
	header := map[string]string{"X-IDENTITY-HEADER": "emulated-identity-header", "Metadata": "true"}
	const (
		msi  = "/msi/token?api-version=2019-08-01"
		imds = "/metadata/identity/oauth2/token?api-version=2018-02-01"
		for_ = "&resource=https://redis.azure.com"
	)
	tests := map[string]struct {
		principals []emulator.Principal
		path       string
		header     map[string]string
		status     int
		want       string
	}{
		"App Service header":        {nil, msi + for_, nil, 401, "X-IDENTITY-HEADER"},
		"App Service resource":      {nil, msi, header, 400, "'resource' is missing"},
		"App Service unknown":       {nil, msi + for_ + "&client_id=x", header, 400, "No User Assigned or Delegated Managed Identity found"},
		"App Service app's ID":      {nil, msi + for_ + "&client_id=" + emulator.AppClientID, header, 400, "No User Assigned"},
		"App Service no identity":   {none, msi + for_, header, 400, "No User Assigned"},
		"App Service wrong scope":   {nil, msi + "&resource=https://redis.azure.com/.default", header, 400, "AADSTS500011"},
		"IMDS header":               {nil, imds + for_, nil, 400, "Required metadata header not specified"},
		"IMDS resource":             {nil, imds, header, 400, "'resource' is missing"},
		"IMDS version":              {nil, "/metadata/identity/oauth2/token?resource=x", header, 400, "'api-version' is missing"},
		"IMDS unknown":              {nil, imds + for_ + "&msi_res_id=/x", header, 400, "Identity not found"},
		"IMDS no identity":          {none, imds + for_, header, 400, "Identity not found"},
		"IMDS several identities":   {two, imds + for_, header, 400, "Multiple user assigned identities exist"},
		"IMDS the only one":         {two[:1], imds + for_, header, 200, emulator.UserIdentityClientID},
		"App Service asks for none": {two[:1], msi + for_, header, 400, "No User Assigned"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := emulator.RunT(t, emulator.Options{NoListen: true, Principals: test.principals})
			r, err := http.NewRequest(http.MethodGet, e.IdentityURL()+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range test.header {
				r.Header.Set(k, v)
			}
			response, err := e.HTTPClient().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			var answer map[string]any
			status := readJSON(t, response, &answer)
			text := ""
			for _, key := range []string{"message", "error_description", "client_id"} {
				if s, ok := answer[key].(string); ok {
					text += s
				}
			}
			if status != test.status || !strings.Contains(text, test.want) {
				t.Errorf("got %d %v, want %d with %q", status, answer, test.status, test.want)
			}
		})
	}
}
