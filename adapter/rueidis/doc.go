// Package rueidisentra fits an [entraredis.Source] into rueidis's own
// credentials hook, [rueidis.ClientOption.AuthCredentialsFn]:
//
//	source, err := entraredis.New(credential, nil)
//	client, err := rueidis.NewClient(rueidisentra.Option(source, rueidis.ClientOption{
//		InitAddress: []string{"example.redis.cache.windows.net:6380"},
//		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
//		Dialer:      net.Dialer{Timeout: 20 * time.Second}, // the service may take 10 s to look at a token
//	}))
//
// rueidis v1.0.77 and later re-AUTH each connection themselves, at the time the
// hook's last answer named. What rueidis v1.0.79 does with the hook, whoever
// wrote it:
//
//   - An error from the hook closes the connection.
//   - A connection that is checked out (Dedicate, blocking commands) is not
//     re-AUTHed until it is returned; held past the token's expiry, it is closed
//     by the service.
//   - With AlwaysRESP2, or a service without RESP3, a subscribed connection
//     cannot send AUTH.
//   - A re-AUTH that the service refuses closes the connection, and rueidis
//     dials another.
//   - With Sentinel the hook also answers for the sentinels, in place of
//     SentinelOption.Username and Password.
//
// The [entraredis.Dialer] re-AUTHs connections that are checked out, tries a
// refused AUTH again until the old token expires, and needs no adapter:
//
//	dialer := &entraredis.Dialer{Source: source}
//	client, err := rueidis.NewClient(rueidis.ClientOption{
//		InitAddress: []string{"example.redis.cache.windows.net:6380"},
//		DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
//			return dialer.DialContext(ctx, "tcp", addr)
//		},
//	})
//
// valkey-go v1.0.79 has the same hook under the same names; this package's
// source with the import replaced serves it.
package rueidisentra
