package entraredis

import (
	"errors"
	"fmt"
	"strings"
)

// AuthError says that a connection could not be made or authenticated, or that
// Redis refused a command for want of authentication or permission. Retrying
// helps only for the kinds that pass by themselves; Remedy says what else to
// do.
type AuthError struct {
	Kind     Kind
	Reply    string // the error line of Redis, if it sent one
	Username string // the one used, if known
	Addr     string // of the cache, if known
	Err      error  // the cause, or what the token itself tells about a refusal
}

// Error holds all fields in one line. It never holds a token.
func (e *AuthError) Error() string {
	var b strings.Builder
	b.WriteString("entraredis: ")
	if e.Addr != "" {
		b.WriteString(e.Addr + ": ")
	}
	b.WriteString(e.Kind.text().summary)
	if e.Username != "" {
		fmt.Fprintf(&b, " (username %q)", e.Username)
	}
	if e.Reply != "" {
		b.WriteString(": redis replied " + quoteLine(e.Reply))
	}
	if e.Err != nil {
		b.WriteString(": " + oneLine(e.Err.Error()))
	}
	return b.String()
}

// Unwrap returns Err.
func (e *AuthError) Unwrap() error { return e.Err }

// Remedy says what to change.
func (e *AuthError) Remedy() string { return e.Kind.Remedy() }

// Anchor returns where docs/errors.md treats the error.
func (e *AuthError) Anchor() string { return e.Kind.Anchor() }

// TokenError says that no usable access token could be acquired. The Source
// that returned it tries again by itself.
type TokenError struct {
	Kind  Kind
	Scope string
	Err   error // the credential's error, or what is wrong with its token
}

// Error is one line: of a credential's error, which may hold a whole HTTP
// exchange, the parts that tell most. Err has the rest.
func (e *TokenError) Error() string {
	msg := "entraredis: acquire a token for " + e.Scope + ": " + e.Kind.text().summary
	if e.Err != nil {
		msg += ": " + oneLine(e.Err.Error())
	}
	return msg
}

// Unwrap returns Err.
func (e *TokenError) Unwrap() error { return e.Err }

// Remedy says what to change.
func (e *TokenError) Remedy() string {
	if e.Err == nil {
		return e.Kind.Remedy()
	}
	code := aadsts(e.Err.Error())
	if known, ok := aadstsCodes[code]; ok && known.remedy != "" {
		return known.remedy
	}
	if e.Kind == KindIssuerRefused && code == 0 {
		return refusedWithoutCode
	}
	return e.Kind.Remedy()
}

// Anchor returns where docs/errors.md treats the error.
func (e *TokenError) Anchor() string { return e.Kind.Anchor() }

// kindOf returns the Kind an error carries, or KindUnknown.
func kindOf(err error) Kind {
	if e, ok := errors.AsType[*TokenError](err); ok {
		return e.Kind
	}
	if e, ok := errors.AsType[*AuthError](err); ok {
		return e.Kind
	}
	return KindUnknown
}
