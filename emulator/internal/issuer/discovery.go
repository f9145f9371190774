package issuer

import (
	"net/http"
	"strings"
)

// base is the authority as the caller addressed it. MSAL requires that the
// issuer of the OpenID configuration has the authority's host and port.
func base(r *http.Request) string { return "https://" + r.Host }

// tenant returns the tenant ID a path segment stands for; "common" and
// "organizations" stand for whatever tenant the user is of.
func (s *Issuer) tenant(r *http.Request) (id string, multi bool, err *refusal) {
	segment := strings.ToLower(r.PathValue("tenant"))
	switch segment {
	case strings.ToLower(s.config.TenantID):
		return s.config.TenantID, false, nil
	case "common", "organizations":
		return s.config.TenantID, true, nil
	}
	return "", false, refuseTenant(segment)
}

func (s *Issuer) openID(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := s.tenant(r); err != nil {
			err.oauth = "invalid_tenant"
			s.refuse(w, r, err)
			return
		}
		root := base(r)
		segment := r.PathValue("tenant")
		issuer, keys := root+"/"+segment+"/v2.0", root+"/"+segment+"/discovery/v2.0/keys"
		if version == "v1.0" {
			issuer, keys = stsIssuer(s.config.TenantID), root+"/"+segment+"/discovery/keys"
		}
		oauth := root + "/" + segment + "/oauth2/v2.0"
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer":                                issuer,
			"token_endpoint":                        oauth + "/token",
			"authorization_endpoint":                oauth + "/authorize",
			"device_authorization_endpoint":         oauth + "/devicecode",
			"jwks_uri":                              keys,
			"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
			"response_modes_supported":              []string{"query", "form_post"},
			"response_types_supported":              []string{"code"},
			"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
			"subject_types_supported":               []string{"pairwise"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "name", "preferred_username", "ver"},
			"tenant_region_scope":                   nil,
			"cloud_instance_name":                   "microsoftonline.com",
		})
	}
}

func (s *Issuer) keys(w http.ResponseWriter, r *http.Request) {
	if _, _, err := s.tenant(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	key := s.config.Key.JWK()
	key["issuer"] = base(r) + "/" + s.config.TenantID + "/v2.0"
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{key}})
}

// instance answers instance discovery for the authority it is asked about:
// every host is an instance of its own.
func (s *Issuer) instance(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query().Get("authorization_endpoint")
	rest, ok := strings.CutPrefix(asked, "https://")
	host, path, _ := strings.Cut(rest, "/")
	segment, _, _ := strings.Cut(path, "/")
	if !ok || host == "" || segment == "" {
		s.refuse(w, r, &refusal{http.StatusBadRequest, "invalid_instance", 50049, "Unknown or invalid instance."})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + host + "/" + segment + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": host, "preferred_cache": host, "aliases": []string{host},
		}},
	})
}

// userRealm tells how a user signs in; MSAL asks before the password grant.
// Federated domains are not emulated.
func (s *Issuer) userRealm(w http.ResponseWriter, r *http.Request) {
	upn := r.PathValue("upn")
	_, domain, ok := strings.Cut(upn, "@")
	answer := map[string]any{
		"ver": "1.0", "account_type": "Unknown", "domain_name": domain,
		"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline",
	}
	if ok && s.find(func(p *Principal) bool {
		_, d, _ := strings.Cut(p.UPN, "@")
		return p.Kind == KindUser && strings.EqualFold(d, domain)
	}) != nil {
		answer["account_type"] = "Managed"
	}
	writeJSON(w, http.StatusOK, answer)
}
