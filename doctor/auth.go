package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/jwt"
)

// slowAuth is when the time AUTH takes is worth a word: the service gives up
// checking a token after 10 seconds (StackExchange.Redis issue 3154, by
// Microsoft), and many clients after 5.
const slowAuth = 3 * time.Second

func checkAuth(ctx context.Context, x *exam, r *Result) {
	transport, err := x.connect(ctx)
	if err != nil {
		r.say("the cache could be reached a moment ago, and now it cannot")
		r.fail(x.tlsFinding(err, x.host))
		return
	}
	// The library's own way of authenticating, on a connection whose TLS has
	// been done already so that AUTH alone is timed.
	dialer := &entraredis.Dialer{Source: x.source, Plaintext: true, AuthTimeout: x.AuthTimeout,
		NetDial: func(context.Context, string, string) (net.Conn, error) { return transport, nil }}
	begin := time.Now()
	conn, err := dialer.DialContext(ctx, "tcp", x.addr())
	took := time.Since(begin)
	r.fact("time", "%s", millis(took))
	r.fact("username", "%s", x.token.Username)
	if err != nil {
		transport.Close()
		r.say("not accepted as %s after %s", x.token.Username, millis(took))
		r.fail(x.authFinding(err, took))
		return
	}
	x.conn = newClient(conn)
	r.say("accepted as %s in %s", x.token.Username, millis(took))
	if took > slowAuth {
		r.warn(Finding{Kind: entraredis.KindAuthTimeout, Anchor: "slow-auth",
			Observed: fmt.Sprintf("AUTH took %s", millis(took)),
			Means:    "the service checks each token with Microsoft Entra ID and gives up after 10 seconds; when it is busy, or many connections open at once, it comes near that",
			Remedy:   "Give clients at least 15 seconds for AUTH and HELLO (connect time-out), keep connections instead of opening new ones, open them gradually, and look at the cache's Server Load."})
	}
	x.sayHello(ctx, r)
}

// connect opens what AUTH goes over.
func (x *exam) connect(ctx context.Context) (net.Conn, error) {
	if x.Plaintext {
		return x.dialTCP(ctx, x.addr())
	}
	return x.dialTLS(ctx, x.addr())
}

// sayHello finds out what the server is. HELLO comes behind AUTH, because a
// service that does not know it must not keep one from authenticating.
func (x *exam) sayHello(ctx context.Context, r *Result) {
	reply, err := x.conn.do(ctx, "HELLO", "3")
	if err != nil {
		r.fail(Finding{Kind: entraredis.KindUnreachable, Anchor: "cut-off", Observed: "HELLO 3: " + err.Error(),
			Means: "the connection ended right behind AUTH", Remedy: cutOffRemedy})
		return
	}
	refused, ok := reply.(refusal)
	if !ok {
		r.fact("server", "%s %s", field(reply, "server"), field(reply, "version"))
		r.fact("protocol", "RESP%s", field(reply, "proto"))
		r.fact("mode", "%s", field(reply, "mode"))
		r.Summary += fmt.Sprintf(", %s %s, RESP%s", field(reply, "server"), field(reply, "version"), field(reply, "proto"))
		return
	}
	f := Finding{Kind: entraredis.KindUnknown, Anchor: "no-hello", Observed: fmt.Sprintf("the reply to HELLO 3 is %q", string(refused)),
		Means:  "the server speaks RESP2 only: a RESP2 subscriber cannot re-AUTH and is dropped when its token ends",
		Remedy: "Set clients to RESP2 (protocol 2), so that they authenticate with AUTH; give pub/sub connections a reconnect, or move to a service that knows RESP3."}
	if refused.permission() {
		f.Kind, f.Anchor = entraredis.KindNoPermission, "no-connection-category"
		f.Means = "authenticated; the access policy does not permit HELLO, with which many clients begin"
		f.Remedy = "Add +@connection to the custom access policy (portal: Data Access Configuration > the policy > Permissions), or set clients to RESP2."
	}
	r.warn(f)
}

// authFinding explains a refusal, by the library's classification and by what
// the checks before have found out.
func (x *exam) authFinding(err error, took time.Duration) Finding {
	f := Finding{Kind: entraredis.KindUnknown, Observed: err.Error()}
	e, ok := errors.AsType[*entraredis.AuthError](err)
	if !ok {
		return f
	}
	f.Kind, f.Remedy = e.Kind, e.Remedy()
	if e.Reply != "" {
		f.Observed = fmt.Sprintf("the reply to AUTH %s is %q, after %s", e.Username, e.Reply, millis(took))
	} else if e.Err != nil {
		f.Observed = e.Err.Error()
	}
	raw := x.token.Password()
	c, _ := jwt.Read(raw) // an opaque token has no claims
	switch e.Kind {
	case entraredis.KindWrongUsername:
		x.usernameFinding(&f, e, c, raw)
	case entraredis.KindNotAssigned:
		x.unassignedFinding(&f, c)
	case entraredis.KindAuthTimeout:
		f.Observed = fmt.Sprintf("no answer to AUTH within %s", x.AuthTimeout)
		f.Means = "the service did not get done with checking the token, or what answers is no Redis"
	case entraredis.KindMaxClients:
		f.Means = "the cache takes no more connections, whoever asks"
	case entraredis.KindUnreachable:
		f.Anchor, f.Means = "auth-reset", "the connection ended while AUTH was waiting for its answer"
		f.Remedy = "Try again in a minute: a failover ends connections so. If it stays so, look for something in between that looks into the stream."
	case entraredis.KindUnknown:
		f.Anchor, f.Means = "odd-refusal", "this is not how Azure refuses a token"
		f.Remedy = "Check that the address is the cache's own, not a proxy's or another Redis: a Redis without access control lists answers AUTH with a username so."
	default: // of the token's times and audience
		f.Means = e.Kind.Remedy()
		if e.Err != nil {
			f.Means = e.Err.Error()
		}
	}
	return f
}

// usernameFinding says whose the username is.
func (x *exam) usernameFinding(f *Finding, e *entraredis.AuthError, c jwt.Claims, raw string) {
	f.Means = "the username is not the object ID of the token's identity"
	if e.Err != nil {
		f.Means = e.Err.Error()
	}
	f.Remedy = fmt.Sprintf("Use the object ID %s as username, or leave it out (--redis-username, Options.Username): it is then taken from the token.", c.ObjectID)
	switch {
	case slices.Contains(groupsOf(raw), e.Username):
		f.Anchor, f.Means = "group", fmt.Sprintf("this is the object ID of a group the identity is a member of; the object ID of the identity is %q", c.ObjectID)
		f.Remedy = "Assign the identity itself: groups cannot be users of a cache. Then use " + c.ObjectID + " as username."
	case e.Username == c.AppID:
		f.Anchor = "client-id-as-username"
		f.Remedy = fmt.Sprintf("Use %s, the object ID of the service principal or managed identity, instead of the client ID: az ad sp show --id %s --query id -o tsv", c.ObjectID, c.AppID)
	case e.Username == c.UPN && c.UPN != "":
		f.Anchor = "upn-as-username"
	}
}

// unassignedFinding answers the questions a WRONGPASS leaves open as far as
// the token can: what remains is up to the cache's settings.
func (x *exam) unassignedFinding(f *Finding, c jwt.Claims) {
	now := time.Now()
	if x.skewed && !c.ExpiresAt.IsZero() && !now.Add(x.skew).Before(c.ExpiresAt) {
		*f = x.skewFinding(fmt.Sprintf("%s; by the issuer's clock the token ended at %s", f.Observed, stamp(c.ExpiresAt)))
		return
	}
	if x.skewed && now.Add(x.skew).Before(c.NotBefore) {
		*f = x.skewFinding(fmt.Sprintf("%s; by the issuer's clock the token begins only at %s", f.Observed, stamp(c.NotBefore)))
		return
	}
	if c.ObjectID == "" {
		f.Means = fmt.Sprintf("nothing can be read from the token, so it is not known whether %q is its identity, or whether it is for Redis", x.token.Username)
		return
	}
	f.Means = fmt.Sprintf("the token is for Redis, valid until %s, and the username is its object ID, not a client ID: so identity %s has no access policy on this cache (assigned as a group, or under another object ID, does not count), Entra authentication is off or was switched on minutes ago, or the cache belongs to another tenant than %s",
		stamp(x.token.ExpiresOn), c.ObjectID, c.TenantID)
	f.Remedy = fmt.Sprintf("In the portal open the cache. (1) Authentication > Microsoft Entra Authentication: the box must be selected. (2) Data Access Configuration > Redis Users: add %s: az redis access-policy-assignment create -g <group> -n <cache> --policy-assignment-name <name> --access-policy-name \"Data Contributor\" --object-id %s --object-id-alias <name>. (3) Compare the tenant: az account show --query tenantId -o tsv", c.ObjectID, c.ObjectID)
	if x.product != nil && x.product.name == managedRedis {
		f.Remedy = fmt.Sprintf("In the portal open the cache > Authentication > Microsoft Entra Authentication and add %s as a user or service principal; compare the tenant of the cache's subscription: az account show --query tenantId -o tsv", c.ObjectID)
	}
}
