package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/entraredis/entraredis"
)

func TestReport(t *testing.T) {
	bySignal := func(s syscall.Signal) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(signalError{s})
		return ctx
	}
	for _, tc := range []struct {
		name   string
		ctx    context.Context
		err    error
		code   int
		stderr string // a part of it
	}{
		{"none", t.Context(), nil, 0, ""},
		{"plain", t.Context(), errors.New("no luck"), 1, "entraredis: error: no luck\n"},
		{"hinted", t.Context(), &hintedError{errors.New("port taken"), "choose another"}, 1, "entraredis: hint: choose another\n"},
		{"usage", t.Context(), &usageError{errors.New("bad flag"), ""}, 2, "entraredis: error: bad flag\n"},
		{"token", t.Context(), fmt.Errorf("fetch: %w", &entraredis.TokenError{Kind: entraredis.KindIssuerRefused}), 3, "docs/errors.md#issuer-refused"},
		{"redis", t.Context(), &entraredis.AuthError{Kind: entraredis.KindTLSName}, 4, "docs/errors.md#tls-name"},
		{"prefix once", t.Context(), entraredis.ErrClosed, 1, "entraredis: error: source"},
		{"int", bySignal(syscall.SIGINT), fmt.Errorf("acquire: %w", context.Canceled), 130, "entraredis: error: ended by interrupt\n"},
		{"term", bySignal(syscall.SIGTERM), &entraredis.TokenError{Err: context.Canceled}, 143, "entraredis: error: ended by terminated\n"},
		{"signal later", bySignal(syscall.SIGINT), errors.New("no luck"), 1, "entraredis: error: no luck\n"},
		{"demo ended", t.Context(), signalError{syscall.SIGINT}, 130, "entraredis: error: ended by interrupt\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if got := report(tc.ctx, &stderr, tc.err); got != tc.code {
				t.Errorf("exit code: got %d, want %d", got, tc.code)
			}
			if !strings.Contains(stderr.String(), tc.stderr) || (tc.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("stderr: got %q, want a part %q", stderr.String(), tc.stderr)
			}
		})
	}
}
