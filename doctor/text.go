package doctor

import (
	"regexp"
	"strings"
)

const (
	redacted = "[redacted]"
	maxText  = 600 // bytes of a text from outside
)

var (
	tokenLike   = regexp.MustCompile(`ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_=-]*`)
	secretField = regexp.MustCompile(`(?i)("?(?:access_token|refresh_token|id_token|client_secret|client_assertion|password)"?\s*[:=]\s*)("[^"]*"?|[^\s&"]+)`)
)

// strikeOut removes what looks like a token or a secret. The library's errors
// hold none; what other programs said may.
func strikeOut(text string) string {
	text = tokenLike.ReplaceAllString(text, redacted)
	return secretField.ReplaceAllString(text, "${1}"+redacted)
}

// shorten makes a text of others one line of bounded length.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}
