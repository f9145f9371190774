package issuer

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// deviceLife is how long a device code can be used; Entra says 15 minutes.
const deviceLife = 15 * time.Minute

// device is one device authorization (RFC 8628).
type device struct {
	user     string // the code shown to the user
	clientID string
	audience string
	expires  time.Time
	approved *Principal // nil while pending
}

func (s *Issuer) deviceCode(w http.ResponseWriter, r *http.Request) {
	if _, _, refused := s.tenant(r); refused != nil {
		s.refuse(w, r, refused)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.refuse(w, r, &refusal{http.StatusBadRequest, "invalid_request", 9002313, "Invalid request. Request is malformed or invalid."})
		return
	}
	client, refused := s.publicClient(r.PostForm.Get("client_id"))
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	audience, refused := s.resource(r.PostForm, false)
	if refused != nil {
		s.refuse(w, r, refused)
		return
	}
	d := &device{user: userCode(), clientID: client, audience: audience, expires: s.config.Now().Add(deviceLife)}
	secret := opaque(48)
	s.mu.Lock()
	for k, old := range s.devices { // what was never redeemed must not pile up
		if s.expired(old.expires.Add(deviceLife)) {
			delete(s.devices, k)
		}
	}
	s.devices[secret] = d
	s.mu.Unlock()
	page := base(r) + "/devicelogin"
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": secret, "user_code": d.user, "verification_uri": page,
		"expires_in": int(deviceLife / time.Second), "interval": 5,
		"message": fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, d.user),
	})
}

// ApproveDevice does what a user does on the device login page: enters the
// code shown by a device and signs in as the named principal.
func (s *Issuer) ApproveDevice(userCode, principal string) error {
	p := s.find(func(p *Principal) bool { return p.Name == principal })
	if p == nil || p.Kind != KindUser {
		return fmt.Errorf("approve device code: no user is named %q", principal)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if !strings.EqualFold(d.user, strings.TrimSpace(userCode)) {
			continue
		}
		if s.expired(d.expires) {
			return fmt.Errorf("approve device code: the code has expired")
		}
		d.approved = p
		return nil
	}
	return fmt.Errorf("approve device code: no device showed that code")
}

func (s *Issuer) redeemDevice(form map[string][]string) (grant, *refusal) {
	get := func(name string) string { return strings.Join(form[name], "") }
	client, refused := s.publicClient(get("client_id"))
	if refused != nil {
		return grant{}, refused
	}
	secret := get("device_code")
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[secret]
	switch {
	case d == nil || d.clientID != client:
		return grant{}, &refusal{http.StatusBadRequest, "bad_verification_code", 70018, "Invalid verification code."}
	case s.expired(d.expires):
		return grant{}, &refusal{http.StatusBadRequest, "expired_token", 70019, "Verification code expired."}
	case d.approved == nil:
		return grant{}, &refusal{http.StatusBadRequest, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling."}
	}
	delete(s.devices, secret)
	return grant{principal: d.approved, clientID: client, audience: d.audience, method: "0"}, nil
}
