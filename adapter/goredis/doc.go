// Package goredis fits an [entraredis.Source] into go-redis's own
// credentials hook, [redis.Options.StreamingCredentialsProvider]:
//
//	source, err := entraredis.New(credential, nil)
//	client := redis.NewClient(&redis.Options{
//		Addr:      "example.redis.cache.windows.net:6380",
//		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
//		StreamingCredentialsProvider: goredis.New(source),
//	})
//
// # Use the Dialer first
//
// This hook is the second choice. The first is [entraredis.Dialer], which
// keeps the connection itself authenticated and asks nothing of go-redis:
//
//	dialer := &entraredis.Dialer{Source: source}
//	client := redis.NewClient(&redis.Options{
//		Addr:   "example.redis.cache.windows.net:6380",
//		Dialer: dialer.DialContext,
//	})
//
// What go-redis v9.23.0 does with a streaming provider, whoever wrote the
// provider, and what the Dialer does not do:
//
//   - Client.Conn, Client.Watch and ClusterClient.Watch panic with a nil
//     pointer when they must dial, and NewFailoverClient (also
//     NewUniversalClient with a MasterName) panics on its first command.
//     v9.16.0 to v9.23.0 have this; nothing outside go-redis can prevent it.
//   - An idle connection is re-AUTHed only when a command touches it. One that
//     stays untouched until its token expires is closed by the service, and
//     the pool goes on counting it.
//   - A connection that a command picks while its re-AUTH is due is refused,
//     and after three refusals the pool dials another: every refresh costs
//     some new connections.
//   - A connection in long use is never re-AUTHed: BLPOP, XREAD BLOCK, a held
//     Conn, a WATCH transaction. It is closed when its token expires.
//   - A pub/sub connection is never re-AUTHed, and each Subscribe/Close pair
//     leaves about 67 KB behind in the client until the client is closed.
//   - A re-AUTH that the service refuses is logged and not tried again for
//     that token.
//   - Client-side caching is switched off.
//
// Without live re-AUTH at all, no adapter is needed:
// [entraredis.Source.Credentials] has the type of
// [redis.Options.CredentialsProviderContext]. New connections then
// authenticate with a valid token, and each connection lives as long as the
// token it started with.
//
// # What the Provider promises
//
//   - Subscribe answers at once with the token held. It waits only while no
//     valid token is held, and never fails while one is.
//   - A failing issuer is not reported to go-redis. go-redis answers an error
//     on this hook by closing the connection it was told of, which with one
//     listener per connection is the whole pool, although the token in use is
//     still valid. Errors are to be seen in [entraredis.Source.Status], its
//     logger and its events.
//   - A token that did not change is not announced.
//   - A slow listener holds up no other.
package goredis
