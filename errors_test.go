package entraredis_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/entraredis/entraredis"
)

func TestEveryKindHasItsSectionAndRemedy(t *testing.T) {
	doc, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("kinds.go")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []entraredis.Kind
	for _, m := range regexp.MustCompile(`(?m)^\s+Kind\w+\s+Kind = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		kinds = append(kinds, entraredis.Kind(m[1]))
	}
	if len(kinds) != len(entraredis.KindTexts()) || len(kinds) < 19 {
		t.Errorf("%d kinds declared, %d with texts", len(kinds), len(entraredis.KindTexts()))
	}
	sections := make(map[string]string)
	for _, part := range strings.Split(string(doc), "\n## ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		sections[name] = body
	}
	for _, k := range kinds {
		body, ok := sections[string(k)]
		if !ok {
			t.Errorf("docs/errors.md has no section %q", k)
		}
		for _, part := range []string{"**You see**", "**Causes**", "**Tell apart**", "**Mend**"} {
			if !strings.Contains(body, part) {
				t.Errorf("section %q has no part %s", k, part)
			}
		}
		if k.Remedy() == "" || k.Anchor() != "docs/errors.md#"+string(k) {
			t.Errorf("%s: remedy %q, anchor %q", k, k.Remedy(), k.Anchor())
		}
		if len(k.Remedy()) > 400 {
			t.Errorf("%s: remedy of %d bytes is no sentence or two", k, len(k.Remedy()))
		}
		delete(sections, string(k))
	}
	for name := range sections {
		if !slices.Contains([]string{"How errors look"}, name) {
			t.Errorf("docs/errors.md has a section %q of no kind", name)
		}
	}
	if got := entraredis.Kind("new").Anchor(); got != "docs/errors.md#unknown" {
		t.Errorf("anchor of an undeclared kind = %q", got)
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("the token belongs to the object ID \"b\"")
	auth := &entraredis.AuthError{Kind: entraredis.KindWrongUsername, Reply: "WRONGPASS invalid username-password pair",
		Username: "a", Addr: "cache.redis.cache.windows.net:6380", Err: cause}
	const want = `entraredis: cache.redis.cache.windows.net:6380: wrong username (username "a"): redis replied "WRONGPASS invalid username-password pair": the token belongs to the object ID "b"`
	if got := auth.Error(); got != want {
		t.Errorf("AuthError:\n got %s\nwant %s", got, want)
	}
	if !errors.Is(auth, cause) || auth.Remedy() != auth.Kind.Remedy() || auth.Anchor() != "docs/errors.md#wrong-username" {
		t.Error("AuthError does not carry its cause, remedy and anchor")
	}

	tok := &entraredis.TokenError{Kind: entraredis.KindIssuerRefused, Scope: entraredis.DefaultScope, Err: errors.New("AADSTS7000222: The provided client secret keys are expired.")}
	if got := tok.Error(); got != "entraredis: acquire a token for https://redis.azure.com/.default: issuer refused: AADSTS7000222: The provided client secret keys are expired." {
		t.Errorf("TokenError: %s", got)
	}
	if !strings.Contains(tok.Remedy(), "secret has expired") || tok.Anchor() != "docs/errors.md#issuer-refused" {
		t.Errorf("TokenError: remedy %q, anchor %q", tok.Remedy(), tok.Anchor())
	}
	// There is no code to look up in a refusal that has none.
	for _, tc := range []struct {
		err       error
		part, not string
	}{
		{errors.New("POST https://login.example/t/oauth2/v2.0/token\nRESPONSE 403: Forbidden\n<html>"), "no AADSTS code", "says why"},
		{errors.New("AADSTS99999999: new code"), "says why", "no AADSTS code"},
		{nil, "if the error has one, says why", "no AADSTS code"},
	} {
		got := (&entraredis.TokenError{Kind: entraredis.KindIssuerRefused, Err: tc.err}).Remedy()
		if !strings.Contains(got, tc.part) || strings.Contains(got, tc.not) || len(got) > 400 {
			t.Errorf("refusal %v: remedy of %d bytes %q, want %q in it", tc.err, len(got), got, tc.part)
		}
	}
	if got := (&entraredis.TokenError{Kind: entraredis.KindExpired}).Remedy(); got != entraredis.KindExpired.Remedy() {
		t.Errorf("remedy without a cause = %q", got)
	}
}

// Some credentials quote whole answers, and an answer may hold a token.
func TestErrorTextsStrikeOutWhatLooksLikeASecret(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJhIn0xxxxxxxx.c2lnbmF0dXJl"
	for _, text := range []string{
		"unexpected answer " + jwt,
		`cannot parse {"access_token":"` + jwt + `","expires_in":"soon"}`,
		`cannot parse {"access_token": "opaque-s3cret"}`,
		`cannot parse {"access_token": "opaque-s3cret`,
	} {
		for _, err := range []error{&entraredis.TokenError{Err: errors.New(text)}, &entraredis.AuthError{Reply: text}} {
			if got := err.Error(); strings.Contains(got, "eyJ") || strings.Contains(got, "s3cret") || !strings.Contains(got, "[redacted]") {
				t.Errorf("%T: %s", err, got)
			}
		}
	}
	long := (&entraredis.TokenError{Err: errors.New(strings.Repeat("é", 5000))}).Error()
	if len(long) > 1000 || strings.Contains(long, "\uFFFD") {
		t.Errorf("long error text is %d bytes", len(long))
	}
	if got := (&entraredis.TokenError{Err: errors.New("get https://login.microsoftonline.com/tenant: no such host")}).Error(); !strings.Contains(got, "login.microsoftonline.com") {
		t.Errorf("host name struck out: %s", got)
	}
}
