// Package entraredis keeps Redis connections to Azure authenticated with
// Microsoft Entra ID for longer than one access token lives.
//
// Azure closes a Redis connection when the access token it authenticated
// with expires, unless a fresh AUTH arrived on that connection before. A
// [Source] always has a username and an access token at hand and refreshes
// the token ahead of its expiry; a [Dialer] gives any Redis client a net.Conn
// that is authenticated and stays so.
//
//	credential, err := azidentity.NewDefaultAzureCredential(nil)
//	...
//	source, err := entraredis.New(credential, nil)
//	...
//	defer source.Close()
//	username, password, err := source.Credentials(ctx)
//
// The Source works with every [azcore.TokenCredential]. It takes the Redis
// username from the token's object ID ("oid") claim unless Options.Username
// is set.
//
// # Failures
//
// While a valid token is held no caller waits and no caller sees an error,
// whatever the issuer does: a refresh that is refused, times out, hangs or
// answers with garbage is tried again with growing, jittered pauses until it
// succeeds, also after the held token has expired. Failures are visible in
// [Source.Status], in the log ([Options].Logger) and to [Options].OnEvent.
//
// Errors that callers may want to tell apart are *[TokenError] (no token
// could be acquired) and *[AuthError] (Redis refused one). Both carry a
// [Kind], a remedy and an anchor into docs/errors.md.
//
// # Secrets
//
// A [Token] shows itself redacted in every fmt verb, in log/slog, in JSON and
// as text. Only [Token.Password] returns the access token.
package entraredis
