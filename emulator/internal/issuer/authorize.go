package issuer

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// codeLife is how long an authorization code can be redeemed; Entra says about
// ten minutes.
const codeLife = 10 * time.Minute

// code is what an authorization code stands for.
type code struct {
	grant     grant
	redirect  string
	challenge string // S256; empty = no PKCE
	expires   time.Time
	redeemed  bool
}

// loopback tells whether a redirect URI is of a program on this machine: the
// only kind a public client of the emulator has registered.
func loopback(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

// authorization checks the parameters of an authorization request.
func (s *Issuer) authorization(r *http.Request) (code, *refusal) {
	if _, _, refused := s.tenant(r); refused != nil {
		return code{}, refused
	}
	q := r.Form
	client, refused := s.publicClient(q.Get("client_id"))
	if refused != nil {
		return code{}, refused
	}
	if !loopback(q.Get("redirect_uri")) {
		return code{}, &refusal{http.StatusBadRequest, "invalid_request", 50011,
			"The redirect URI specified in the request does not match the redirect URIs configured for the application (the emulator accepts http://localhost and http://127.0.0.1)."}
	}
	if q.Get("response_type") != "code" {
		return code{}, &refusal{http.StatusBadRequest, "unsupported_response_type", 70005, "The app returned an unsupported response type."}
	}
	switch q.Get("response_mode") {
	case "", "query", "form_post":
	default:
		return code{}, &refusal{http.StatusBadRequest, "invalid_request", 70007, "The app returned an unsupported value of 'response_mode' when requesting a token."}
	}
	if c := q.Get("code_challenge"); c != "" && (len(c) != 43 || q.Get("code_challenge_method") != "S256") {
		return code{}, &refusal{http.StatusBadRequest, "invalid_request", 501491, "Invalid size of Code_Challenge parameter (the emulator accepts the method S256 only)."}
	}
	audience, refused := s.resource(q, false)
	return code{
		grant:    grant{clientID: client, audience: audience, method: "0"},
		redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"),
	}, refused
}

func (s *Issuer) authorizePage(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // a malformed query lacks what is asked for below
	if _, refused := s.authorization(r); refused != nil {
		s.refuse(w, r, refused)
		return
	}
	s.signInPage(w, r.Form)
}

// authorizeChosen answers the page: a code, posted by the browser to the
// program that waits on the redirect URI.
func (s *Issuer) authorizeChosen(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	_ = r.ParseForm() // as above
	c, refused := s.authorization(r)
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	c.grant.principal = s.user(r.PostForm.Get("upn"))
	if c.grant.principal == nil {
		s.refuse(w, r, &refusal{http.StatusBadRequest, "invalid_grant", 50034, "The user account does not exist in the directory."})
		return
	}
	c.expires = s.config.Now().Add(codeLife)
	secret := "1." + opaque(48)
	s.mu.Lock()
	for k, old := range s.codes {
		if s.expired(old.expires) {
			delete(s.codes, k)
		}
	}
	s.codes[secret] = &c
	s.mu.Unlock()
	answer := url.Values{"code": {secret}, "state": {r.Form.Get("state")}, "session_state": {newGUID()}}
	if r.Form.Get("response_mode") == "form_post" {
		postBackPage(w, c.redirect, answer)
		return
	}
	join := "?"
	if strings.Contains(c.redirect, "?") {
		join = "&"
	}
	http.Redirect(w, r, c.redirect+join+answer.Encode(), http.StatusFound)
}

func (s *Issuer) redeemCode(form url.Values) (grant, *refusal) {
	client, refused := s.publicClient(form.Get("client_id"))
	if refused != nil {
		return grant{}, refused
	}
	invalid := func(number int, text string) (grant, *refusal) {
		return grant{}, &refusal{http.StatusBadRequest, "invalid_grant", number, text}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.codes[form.Get("code")]
	switch {
	case c == nil || c.grant.clientID != client:
		return invalid(70000, "Provided grant is invalid or malformed.")
	case c.redeemed:
		return invalid(54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case s.expired(c.expires):
		return invalid(70008, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.")
	case c.redirect != form.Get("redirect_uri"):
		return invalid(50011, "The redirect URI specified in the request does not match the one the code was issued for.")
	case c.challenge != "" && !same(challenge(form.Get("code_verifier")), c.challenge):
		return invalid(501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	c.redeemed = true
	return c.grant, nil
}
