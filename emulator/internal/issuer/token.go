package issuer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// azureCLI is the public client that azidentity's user credentials present
// when the program names none of its own.
const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// maxForm bounds the body of a request; Entra's own limit is not published.
const maxForm = 1 << 20

// token is the token endpoint.
func (s *Issuer) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.refuse(w, r, &refusal{http.StatusBadRequest, "invalid_request", 900561,
			fmt.Sprintf("The endpoint only accepts POST, OPTIONS requests. Received a %s request.", r.Method)})
		return
	}
	_, multi, refused := s.tenant(r)
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.refuse(w, r, &refusal{http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid."})
		return
	}
	form := r.PostForm
	if form.Get("client_id") == "" {
		s.refuse(w, r, refuseMissing("client_id"))
		return
	}
	var g grant
	switch kind := form.Get("grant_type"); kind {
	case "client_credentials":
		if multi {
			refused = &refusal{http.StatusBadRequest, "invalid_request", 50059, "No tenant-identifying information found in either the request or implied by any provided credentials."}
			break
		}
		g, refused = s.clientCredentials(r, form)
	case "password":
		if strings.EqualFold(r.PathValue("tenant"), "common") {
			refused = &refusal{http.StatusBadRequest, "invalid_request", 9001023, "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."}
			break
		}
		g, refused = s.passwordGrant(form)
	case "authorization_code":
		g, refused = s.redeemCode(form)
	case "device_code", "urn:ietf:params:oauth:grant-type:device_code":
		g, refused = s.redeemDevice(form)
	case "refresh_token":
		g, refused = s.redeemRefresh(form)
	case "":
		refused = refuseMissing("grant_type")
	case "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer", "user_fic":
		refuseNotEmulated(w, "grant_type "+kind)
		return
	default:
		refused = &refusal{http.StatusBadRequest, "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", kind)}
	}
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	s.answer(w, r, g, form)
}

// answer sends the tokens. An app-only answer holds nothing but the access
// token: MSAL stores an answer with an ID token, client info or refresh token
// as a user's, and would not find it again.
func (s *Issuer) answer(w http.ResponseWriter, r *http.Request, g grant, form url.Values) {
	token, _, err := s.sign(g)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	seconds := int64(s.lifetime(g.principal) / time.Second)
	body := map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
	if s.config.RefreshIn > 0 {
		body["refresh_in"] = int64(s.config.RefreshIn / time.Second)
	}
	if g.principal.Kind == KindUser {
		body["scope"] = grantedScope(g.audience, form.Get("scope"))
		if body["refresh_token"], err = s.refreshToken(g); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if body["id_token"], err = s.idToken(g, base(r)+"/"+s.config.TenantID+"/v2.0"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if form.Get("client_info") == "1" {
			body["client_info"] = clientInfo(g.principal.ObjectID, s.config.TenantID)
		}
	}
	writeJSON(w, http.StatusOK, body)
}

// grantedScope echoes what was asked: MSAL takes a scope that is missing as
// declined.
func grantedScope(audience, asked string) string {
	scopes := []string{audience + "/user_impersonation"}
	for _, scope := range strings.Fields(asked) {
		if scope != "offline_access" && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return strings.Join(scopes, " ")
}

// audienceOf returns the resource of a scope parameter; appOnly demands
// "<resource>/.default".
func audienceOf(form url.Values, appOnly bool) (string, *refusal) {
	var resources []string
	for _, scope := range strings.Fields(form.Get("scope")) {
		switch scope {
		case "openid", "profile", "offline_access", "email":
			continue
		}
		i := strings.LastIndexByte(scope, '/')
		if i <= 0 || (appOnly && scope[i:] != "/.default") {
			return "", refuseScope(scope, appOnly)
		}
		if resource := scope[:i]; !slices.Contains(resources, resource) {
			resources = append(resources, resource)
		}
	}
	switch len(resources) {
	case 0:
		return "", refuseMissing("scope")
	case 1:
		return resources[0], nil
	default:
		return "", &refusal{http.StatusBadRequest, "invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it contains more than one resource."}
	}
}

func refuseScope(scope string, appOnly bool) *refusal {
	if appOnly {
		return &refusal{http.StatusBadRequest, "invalid_scope", 1002012,
			fmt.Sprintf("The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope)}
	}
	return &refusal{http.StatusBadRequest, "invalid_scope", 70011,
		fmt.Sprintf("The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", scope)}
}

// resource finds the audience asked for and refuses one the tenant does not know.
func (s *Issuer) resource(form url.Values, appOnly bool) (string, *refusal) {
	audience, refused := audienceOf(form, appOnly)
	if refused == nil && !knownResource(audience) {
		refused = s.refuseResource(audience)
	}
	return audience, refused
}

func (s *Issuer) refuseResource(audience string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_resource", 500011,
		fmt.Sprintf("The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", audience, s.config.TenantID)}
}

// clientCredentials is the app-only grant: with a secret, or with an assertion
// signed by the application's certificate or by a federated issuer.
func (s *Issuer) clientCredentials(r *http.Request, form url.Values) (grant, *refusal) {
	id := form.Get("client_id")
	p := s.find(func(p *Principal) bool {
		federated := p.Kind == KindManagedIdentity && p.FederatedIssuer != ""
		return (p.Kind == KindApp || federated) && strings.EqualFold(p.ClientID, id)
	})
	if p == nil {
		return grant{}, refuseApp(id, s.config.TenantID)
	}
	g := grant{principal: p, clientID: p.ClientID}
	switch {
	case form.Get("client_assertion") != "":
		if refused := s.checkAssertion(r, p, form); refused != nil {
			return grant{}, refused
		}
		g.method = "2"
	case form.Get("client_secret") != "":
		if p.ClientSecret == "" || !same(form.Get("client_secret"), p.ClientSecret) {
			return grant{}, refuseAssertion(7000215, fmt.Sprintf("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", p.ClientID))
		}
		g.method = "1"
	default:
		return grant{}, refuseAssertion(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	var refused *refusal
	g.audience, refused = s.resource(form, true)
	return g, refused
}

// publicClient accepts the application of a user's sign-in: the Azure CLI's,
// or one of the tenant.
func (s *Issuer) publicClient(id string) (string, *refusal) {
	if strings.EqualFold(id, azureCLI) {
		return azureCLI, nil
	}
	p := s.find(func(p *Principal) bool { return p.Kind == KindApp && strings.EqualFold(p.ClientID, id) })
	if p == nil {
		return "", refuseApp(id, s.config.TenantID)
	}
	return p.ClientID, nil
}

func (s *Issuer) passwordGrant(form url.Values) (grant, *refusal) {
	client, refused := s.publicClient(form.Get("client_id"))
	if refused != nil {
		return grant{}, refused
	}
	upn := form.Get("username")
	p := s.user(upn)
	if p == nil {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", 50034,
			fmt.Sprintf("The user account %s does not exist in the %s directory. To sign into this application, the account must be added to the directory.", upn, s.config.TenantID)}
	}
	if p.Password == "" || !same(form.Get("password"), p.Password) {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", 50126, "Error validating credentials due to invalid username or password."}
	}
	audience, refused := s.resource(form, false)
	return grant{principal: p, clientID: client, audience: audience, method: "0"}, refused
}

func (s *Issuer) redeemRefresh(form url.Values) (grant, *refusal) {
	client, refused := s.publicClient(form.Get("client_id"))
	if refused != nil {
		return grant{}, refused
	}
	claims, err := s.config.Key.Verify(form.Get("refresh_token"))
	if err != nil || !slices.Contains(claims.Audience, refreshAudience) || claims.AppID != client {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", 70000, "Provided grant is invalid or malformed."}
	}
	if s.expired(claims.ExpiresAt) {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", 700082, "The refresh token has expired due to inactivity."}
	}
	p := s.find(func(p *Principal) bool { return p.ObjectID == claims.ObjectID })
	if p == nil {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", 50034, "The user account does not exist in the directory."}
	}
	g := grant{principal: p, clientID: client, audience: claims.Subject, method: "0"}
	if form.Get("scope") != "" {
		g.audience, refused = s.resource(form, false)
	}
	return g, refused
}

// same compares two secrets in constant time.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// challenge is the S256 transformation of RFC 7636.
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
