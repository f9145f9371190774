package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/entraredis/entraredis/internal/jwt"
	"github.com/redis/go-redis/v9"
)

// objectID is the principal of all clients, and so the ACL user on all servers.
const objectID = "00000000-0000-4000-8000-0000000000a1"

// issuer is a credential whose tokens real Redis servers take: each is made the ACL user's password on all of them before
// it is handed out, beside the one before it. Older ones are passwords no more. It is safe for concurrent use.
type issuer struct {
	servers []*server
	every   time.Duration
	key     *jwt.Key

	mu     sync.Mutex // guards the rest, and orders what the servers are told
	issued int
	last   time.Time     // when the newest was handed out
	gap    time.Duration // the longest between two
	first  string
	newest string
}

var _ azcore.TokenCredential = (*issuer)(nil)

func newIssuer(servers []*server, every time.Duration) (*issuer, error) {
	key, err := jwt.NewKey()
	if err != nil {
		return nil, err
	}
	return &issuer{servers: servers, every: every, key: key}, nil
}

// life of a token. RefreshOn lies before its middle: up to there the Source does exactly as it is told (its refresh.go).
// A connection then re-AUTHs within half of what is left, at 2*every at the latest, or a block later: every less a block
// remains for a machine that is busy. What the servers take ends with the issue of the next but one.
func (i *issuer) life() time.Duration { return 3 * i.every }

// GetToken makes a new token each time.
func (i *issuer) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	expires := now.Add(i.life())
	token, err := i.key.Sign(map[string]any{
		"aud": "https://redis.azure.com", "iss": "https://sts.windows.net/interop/", "tid": "interop",
		"oid": objectID, "sub": objectID, "idtyp": "app", "ver": "1.0",
		"iat": seconds(now), "nbf": seconds(now), "exp": seconds(expires),
		"uti": rand.Text(), // two of the same second must not be one
	})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	if err := i.install(ctx, token); err != nil {
		return azcore.AccessToken{}, err
	}
	if i.issued == 0 {
		i.first = token
	}
	if i.issued > 0 {
		i.gap = max(i.gap, time.Since(i.last))
	}
	i.last = time.Now()
	i.issued++
	i.newest = token
	return azcore.AccessToken{Token: token, ExpiresOn: expires, RefreshOn: now.Add(i.every)}, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// install makes token and the one before it the user's only passwords. i.mu is held.
func (i *issuer) install(ctx context.Context, token string) error {
	rules := []any{"ACL", "SETUSER", objectID, "on", "~*", "&*", "+@all", "resetpass", ">" + token}
	if i.newest != "" {
		rules = append(rules, ">"+i.newest)
	}
	errs := make([]error, len(i.servers))
	var all sync.WaitGroup
	for n, s := range i.servers {
		all.Go(func() {
			if err := s.admin.Do(ctx, rules...).Err(); err != nil {
				// Redis quotes the rule it does not like, and the rule may be a token.
				errs[n] = fmt.Errorf("ACL SETUSER on %s: %s", s.name, firstWord(err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// check holds the servers to what the whole run rests on: a token that is no longer new is refused.
func (i *issuer) check(ctx context.Context, cert certificate) error {
	i.mu.Lock()
	first, newest := i.first, i.newest
	i.mu.Unlock()
	for _, s := range i.servers {
		if err := login(ctx, s, cert, newest); err != nil {
			return fmt.Errorf("%s refuses the newest token: %s", s.name, firstWord(err))
		}
		if err := login(ctx, s, cert, first); err == nil || !strings.HasPrefix(err.Error(), "WRONGPASS") {
			return fmt.Errorf("%s does not refuse a token that is over", s.name)
		}
	}
	return nil
}

func login(ctx context.Context, s *server, cert certificate, token string) error {
	c := redis.NewClient(&redis.Options{
		Addr: s.addr, Username: objectID, Password: token, PoolSize: 1, MaxRetries: -1, DisableIdentity: true,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cert.roots, ServerName: hostName},
	})
	defer c.Close()
	return c.Ping(ctx).Err()
}

// longestGap is the longest from one token to the next. Much more than asked for says that this machine was too busy.
func (i *issuer) longestGap() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.gap
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued
}

func firstWord(err error) string {
	word, _, _ := strings.Cut(err.Error(), " ")
	return word
}
