package issuer

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// appService answers as the managed identity endpoint of App Service,
// Functions and Container Apps does.
func (s *Issuer) appService(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if v := q.Get("api-version"); v != "2019-08-01" {
		refuseNotEmulated(w, "App Service api-version "+strconv.Quote(v)+" (only 2019-08-01 is)")
		return
	}
	if !same(r.Header.Get("X-IDENTITY-HEADER"), s.config.IdentityHeader) {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "message": "X-IDENTITY-HEADER does not hold the value of IDENTITY_HEADER."})
		return
	}
	if q.Get("resource") == "" {
		writeJSON(w, http.StatusBadRequest, map[string]any{"statusCode": 400, "message": "Required query variable 'resource' is missing."})
		return
	}
	p, asked := s.identity(q, "mi_res_id")
	if p == nil && !asked {
		p = s.systemAssigned()
	}
	if p == nil {
		writeJSON(w, http.StatusBadRequest, map[string]any{
			"statusCode": 400, "correlationId": newGUID(),
			"message": "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
		})
		return
	}
	s.answerIdentity(w, r, p, false)
}

// imds answers as the Instance Metadata Service of virtual machines, scale
// sets and Kubernetes nodes does.
func (s *Issuer) imds(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	refuse := func(id, text string) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": id, "error_description": text})
	}
	if r.Header.Get("Metadata") != "true" {
		refuse("bad_request_102", "Required metadata header not specified")
		return
	}
	if q.Get("api-version") == "" {
		refuse("invalid_request", "Required query variable 'api-version' is missing")
		return
	}
	if q.Get("resource") == "" {
		refuse("invalid_request", "Required query variable 'resource' is missing")
		return
	}
	p, asked := s.identity(q, "msi_res_id", "mi_res_id")
	if p == nil && !asked {
		p = s.systemAssigned()
	}
	if p == nil && !asked {
		// Without a system-assigned identity the only user-assigned one is the default.
		switch only := s.userAssigned(); len(only) {
		case 0:
		case 1:
			p = only[0]
		default:
			refuse("invalid_request", "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request")
			return
		}
	}
	if p == nil {
		refuse("invalid_request", "Identity not found")
		return
	}
	s.answerIdentity(w, r, p, true)
}

// identity finds the managed identity that the parameters select; asked tells
// whether they select at all.
func (s *Issuer) identity(q url.Values, resourceParameters ...string) (p *Principal, asked bool) {
	match := func(value string, of func(*Principal) string) *Principal {
		return s.find(func(p *Principal) bool {
			return p.Kind == KindManagedIdentity && strings.EqualFold(of(p), value)
		})
	}
	if v := q.Get("client_id"); v != "" {
		return match(v, func(p *Principal) string { return p.ClientID }), true
	}
	for _, name := range []string{"object_id", "principal_id"} {
		if v := q.Get(name); v != "" {
			return match(v, func(p *Principal) string { return p.ObjectID }), true
		}
	}
	for _, name := range resourceParameters {
		if v := q.Get(name); v != "" {
			return match(v, func(p *Principal) string { return p.ResourceID }), true
		}
	}
	return nil, false
}

func (s *Issuer) systemAssigned() *Principal {
	return s.find(func(p *Principal) bool { return p.Kind == KindManagedIdentity && !p.userAssigned() })
}

func (s *Issuer) userAssigned() []*Principal {
	var all []*Principal
	for i := range s.config.Principals {
		if p := &s.config.Principals[i]; p.Kind == KindManagedIdentity && p.userAssigned() {
			all = append(all, p)
		}
	}
	return all
}

// answerIdentity sends the token. Unlike the token endpoint these give numbers
// as strings, and the end of life as an instant of the issuer's clock.
func (s *Issuer) answerIdentity(w http.ResponseWriter, r *http.Request, p *Principal, imds bool) {
	resource := r.URL.Query().Get("resource")
	if !knownResource(resource) {
		e := s.refuseResource(resource)
		writeJSON(w, e.status, map[string]any{"error": e.oauth, "error_description": "AADSTS500011: " + e.text})
		return
	}
	token, expires, err := s.sign(grant{principal: p, clientID: p.ClientID, audience: resource, method: "2"})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body := map[string]any{
		"access_token": token, "expires_on": strconv.FormatInt(expires.Unix(), 10),
		"resource": resource, "token_type": "Bearer", "client_id": p.ClientID,
	}
	if s.config.RefreshIn > 0 {
		body["refresh_in"] = strconv.FormatInt(int64(s.config.RefreshIn/time.Second), 10)
	}
	if imds {
		seconds := strconv.FormatInt(int64(s.lifetime(p)/time.Second), 10)
		body["expires_in"], body["ext_expires_in"] = seconds, seconds
		body["not_before"] = strconv.FormatInt(s.config.Now().Unix(), 10)
	}
	writeJSON(w, http.StatusOK, body)
}
