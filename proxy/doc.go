// Package proxy lets any Redis client, in any language, use a cache that takes
// nothing but Microsoft Entra tokens: it accepts plain local connections and
// gives each one of its own upstream, which an [entraredis.Dialer] opens,
// authenticates and keeps authenticated. With [UpstreamsShared] clients share a
// few upstreams while they send nothing that leaves state on a connection.
//
// Nothing but AUTH and HELLO with AUTH is kept from the cache, so whatever
// Redis can do works: pub/sub, transactions, blocking commands, scripts, RESP2
// and RESP3. Who may connect is decided here: see Proxy.Auth.
package proxy
