package issuer

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// refusal is an error answer of Entra.
type refusal struct {
	status int
	oauth  string // the error of RFC 6749
	code   int    // AADSTS number
	text   string
}

func refuseTenant(tenant string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request", 90002,
		fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)}
}

func refuseApp(clientID, tenant string) *refusal {
	return &refusal{http.StatusBadRequest, "unauthorized_client", 700016,
		fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.", clientID, tenant)}
}

func refuseMissing(parameter string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request", 900144,
		fmt.Sprintf("The request body must contain the following parameter: '%s'.", parameter)}
}

func refuseAssertion(code int, text string) *refusal {
	return &refusal{http.StatusUnauthorized, "invalid_client", code, text}
}

// refuse writes e as Entra writes its errors.
func (s *Issuer) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	correlation := r.Header.Get("Client-Request-Id")
	if correlation == "" {
		correlation = newGUID()
	}
	trace := newGUID()
	now := s.config.Now().UTC().Format("2006-01-02 15:04:05Z")
	s.config.Logger.DebugContext(r.Context(), "refused", "path", r.URL.Path, "error", e.oauth, "code", e.code)
	writeJSON(w, e.status, map[string]any{
		"error": e.oauth,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			e.code, e.text, trace, correlation, now),
		"error_codes":    []int{e.code},
		"timestamp":      now,
		"trace_id":       trace,
		"correlation_id": correlation,
		"error_uri":      fmt.Sprintf("%s/error?code=%d", base(r), e.code),
	})
}

// refuseNotEmulated keeps "wrong" and "not emulated" apart. Its status is one
// that no Azure SDK repeats a request for.
func refuseNotEmulated(w http.ResponseWriter, what string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{
		"error":             "not_emulated",
		"error_description": "not emulated: " + what + " may be valid for Microsoft Entra ID, but the entraredis emulator does not have it",
	})
}

func notEmulated(w http.ResponseWriter, r *http.Request) {
	refuseNotEmulated(w, r.Method+" "+r.URL.Path)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is the caller having left.
	_ = json.NewEncoder(w).Encode(body)
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// expired tells whether a grant given for a while has run out.
func (s *Issuer) expired(at time.Time) bool { return !s.config.Now().Before(at) }
