package entraredis

import (
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis/internal/jwt"
)

// maxSkew is how far ahead of the local clock a token may begin. It is the
// tolerance that validators of Entra tokens commonly grant.
const maxSkew = 5 * time.Minute

var (
	errEmptyToken = errors.New("credential returned an empty access token and no error")
	errNoExpiry   = errors.New("credential did not say when the access token expires, and the token has no exp claim")
	errNoObjectID = errors.New("access token has no oid claim to take the Redis username from: set Options.Username to the identity's object ID")
)

// accept checks what a credential returned and completes it: the username from
// the token's oid claim unless one is given, and times the credential left
// out. With a username the token need not be a JWT.
func accept(raw azcore.AccessToken, username string, now instant) (*held, Kind, error) {
	if raw.Token == "" {
		return nil, KindInvalidToken, errEmptyToken
	}
	claims, err := jwt.Read(raw.Token)
	if err != nil && username == "" {
		return nil, KindInvalidToken, fmt.Errorf("read the Redis username from the access token: %w; set Options.Username to the identity's object ID", err)
	}
	if username == "" {
		username = claims.ObjectID
	}
	if username == "" {
		return nil, KindInvalidToken, errNoObjectID
	}
	expires := raw.ExpiresOn.Round(0)
	if expires.IsZero() {
		expires = claims.ExpiresAt
	}
	if expires.IsZero() {
		return nil, KindInvalidToken, errNoExpiry
	}
	if !expires.After(now.wall) {
		return nil, KindClockSkew, fmt.Errorf("access token expired at %s, before it arrived: the clock of this machine says %s", stamp(expires), stamp(now.wall))
	}
	begins := later(claims.NotBefore, claims.IssuedAt)
	if begins.After(now.wall.Add(maxSkew)) {
		return nil, KindClockSkew, fmt.Errorf("access token begins only at %s: the clock of this machine says %s", stamp(begins), stamp(now.wall))
	}
	issued := claims.IssuedAt
	if issued.IsZero() || !issued.Before(expires) {
		issued = now.wall
	}
	return &held{
		token:   Token{Username: username, ExpiresOn: expires, IssuedAt: issued, secret: &raw.Token},
		lease:   lease{start: issued, expires: expires, refreshOn: raw.RefreshOn.Round(0)},
		expires: now.at(expires),
	}, "", nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
