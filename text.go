package entraredis

import (
	"regexp"
	"strconv"
	"strings"
)

const maxErrorText = 600

var (
	tokenLike   = regexp.MustCompile(`[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_=-]*`)
	secretField = regexp.MustCompile(`(?i)"(access_token|refresh_token|id_token|client_secret|client_assertion|password)"\s*:\s*"[^"]*"?`)
	aadstsText  = regexp.MustCompile(`AADSTS[0-9]{4,8}:[^"\\\r\n]*`)
	statusLine  = regexp.MustCompile(`RESPONSE [^\r\n]*`)
	rule        = regexp.MustCompile(`-{10,}`)
)

// oneLine shortens an error text to one line. Errors of azidentity can be a
// whole HTTP exchange: their first line, status and AADSTS message are kept,
// not their body, and whatever looks like a token is struck out.
func oneLine(text string) string {
	if head, exchange, ok := strings.Cut(text, "\n"); ok && strings.Contains(exchange, "RESPONSE ") {
		kept := []string{strings.TrimSpace(head)}
		if m := statusLine.FindString(exchange); m != "" {
			kept = append(kept, strings.TrimSpace(m))
		}
		if m := aadstsText.FindString(exchange); m != "" {
			kept = append(kept, strings.TrimSpace(m))
		}
		text = strings.Join(kept, ": ")
	}
	text = rule.ReplaceAllString(text, "")
	text = secretField.ReplaceAllString(text, `"$1": "`+redacted+`"`)
	text = tokenLike.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "ey") {
			return redacted
		}
		return s
	})
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	return text
}

// quoteLine quotes what a server sent, which may be anything.
func quoteLine(s string) string { return strconv.Quote(oneLine(s)) }
