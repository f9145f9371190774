package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"github.com/entraredis/entraredis"
)

// witness is the credential, and remembers what it returned: a Source keeps a
// token it cannot accept to itself, and here that token is the evidence.
type witness struct {
	credential azcore.TokenCredential

	mu     sync.Mutex // guards the rest; never held across I/O
	last   azcore.AccessToken
	tokens []string
}

func (w *witness) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := w.credential.GetToken(ctx, o)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.last = t
		if t.Token != "" && !slices.Contains(w.tokens, t.Token) {
			w.tokens = append(w.tokens, t.Token)
		}
	}
	return t, err
}

// secrets are all tokens there were.
func (w *witness) secrets() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tokens)
}

func (w *witness) newest() azcore.AccessToken {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func checkCredential(ctx context.Context, x *exam, r *Result) {
	kind := x.CredentialKind
	if kind == "" {
		kind = "credential"
	}
	r.fact("kind", "%s", kind)
	if kind == "managed-identity" {
		if f := x.findIdentityEndpoint(ctx, r); f != nil {
			r.say("there is no managed identity here")
			r.fail(*f)
			return
		}
	}
	begin := time.Now()
	token, err := x.source.Token(ctx) // bounded by the Source's RequestTimeout
	if err != nil && x.seen.newest().Token == "" {
		r.say("%s: no token", kind)
		for _, link := range chainLinks(err) {
			r.fact(link.Name, "%s", link.Value)
		}
		r.fail(tokenFinding(err))
		return
	}
	// A token that came and could not be accepted is the next check's affair.
	x.token, x.tokenErr = token, err
	r.fact("scope", "%s", x.Scope)
	r.say("%s returned a token in %s", kind, millis(time.Since(begin)))
}

// metadataURL is where virtual machines and what runs on them get the tokens
// of their managed identity (Azure Instance Metadata Service).
const metadataURL = "http://169.254.169.254/metadata/identity/oauth2/token"

// probeTimeout is what azidentity's default chain grants the same question.
const probeTimeout = time.Second

// findIdentityEndpoint asks whether there is a metadata service at all, before
// a credential spends its retries on finding out.
func (x *exam) findIdentityEndpoint(ctx context.Context, r *Result) *Finding {
	source, err := managedidentity.GetSource()
	if err != nil || source != managedidentity.DefaultToIMDS {
		r.fact("identity endpoint", "%s, by this machine's environment", source)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// Without the Metadata header any answer of the service is a refusal; that
	// there is one is what counts.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metadataURL, nil)
	if err != nil {
		return nil
	}
	transport := x.Transport
	if transport == nil {
		// Never through a proxy: a proxy reaches its own machine's service, if any.
		direct := &http.Transport{}
		defer direct.CloseIdleConnections()
		transport = direct
	}
	response, err := transport.RoundTrip(request)
	if err == nil {
		response.Body.Close()
		r.fact("identity endpoint", "169.254.169.254 answers (status %d to a probe)", response.StatusCode)
		return nil
	}
	observed := fmt.Sprintf("GET %s: %v", metadataURL, err)
	if isTimeout(err) {
		observed = fmt.Sprintf("GET %s: no answer within %v", metadataURL, probeTimeout)
	}
	return &Finding{Kind: entraredis.KindManagedIdentityUnavailable, Observed: observed,
		Means:  "there is no metadata service: this is no Azure machine, or a network policy keeps this process from it",
		Remedy: "On a development machine use a user (az login and --credential azure-cli) or a service principal (--credential client-secret). On Azure allow 169.254.169.254 (in Kubernetes: network policies; use --credential workload-identity where the pod has one)."}
}

// chainLinks are what the members of a chain said, if err is a chain's.
func chainLinks(err error) (links []Fact) {
	_, list, ok := strings.Cut(causeOf(err).Error(), "Attempted credentials:")
	if !ok {
		return nil
	}
	for line := range strings.Lines(list) {
		text, top := strings.CutPrefix(line, "\t")
		text = strings.TrimRight(text, "\r\n")
		switch {
		case !top || text == "":
		case strings.HasPrefix(text, "\t"): // more of the link above
			if n := len(links) - 1; n >= 0 && len(links[n].Value) < maxText {
				links[n].Value = strings.TrimSpace(links[n].Value + " " + strings.TrimSpace(text))
			}
		default:
			name, said, _ := strings.Cut(text, " ")
			links = append(links, Fact{Name: strings.TrimSuffix(name, ":"), Value: said})
		}
	}
	for i := range links {
		links[i].Value = shorten(ornament.ReplaceAllString(links[i].Value, " "))
	}
	return links
}

// ornament is what azidentity puts around an HTTP exchange, for a screen.
var ornament = regexp.MustCompile(`-{10,}|To troubleshoot, visit \S+`)

// causeOf is the credential's own error inside a TokenError.
func causeOf(err error) error {
	if e, ok := errors.AsType[*entraredis.TokenError](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}

var responseStatus = regexp.MustCompile(`RESPONSE ([0-9]{3})`)

// tokenFinding explains why no token came. The library's own kind and remedy
// hold, unless the credential's words say more.
func tokenFinding(err error) Finding {
	f := Finding{Kind: entraredis.KindUnknown, Observed: err.Error()}
	if e, ok := errors.AsType[*entraredis.TokenError](err); ok {
		f.Kind, f.Remedy = e.Kind, e.Remedy()
		_, f.Observed, _ = strings.Cut(e.Error(), ": acquire a token for ")
	}
	f.Means = tokenMeanings[f.Kind]
	raw := causeOf(err).Error()
	status := ""
	if m := responseStatus.FindStringSubmatch(raw); m != nil {
		status = m[1]
	}
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(raw, p) })
	}
	switch {
	case has("Attempted credentials:") && !has("AADSTS"):
		f.Kind = entraredis.KindCredentialUnavailable
		f.Means = "no credential of the chain could obtain a token; each said why"
		f.Remedy = "Mend the one that is meant to be used (az login on a development machine, an identity on Azure), and name it with --credential so that the others stay out of the way."
	case has("executable not found on path"):
		f.Anchor, f.Means = "tool-missing", "the program of this credential is not installed, or not on the PATH of this process"
		f.Remedy = "Install it (for azure-cli: https://aka.ms/azure-cli) or extend PATH; services and containers often have neither."
	case has("az login", "azd auth login"):
		f.Kind, f.Anchor = entraredis.KindCredentialUnavailable, "not-signed-in"
		f.Means = "nobody is signed in, or the sign-in has ended, as the user this process runs as"
		f.Remedy = "Run az login (azd auth login for azure-developer-cli) as the same user, in the tenant of the cache: az login --tenant <tenant>."
	case has("identity isn't assigned", "Identity not found", "No User Assigned or Delegated Managed Identity"):
		f.Anchor, f.Means = "identity-not-on-resource", "the metadata service is there and does not know the identity that was asked for"
		f.Remedy = "In the portal open the Azure resource this runs on > Identity: switch the system-assigned identity on, or add the user-assigned one and give its client ID (--client-id)."
	case status == "429":
		f.Anchor, f.Means = "throttled", "the issuer is throttling: too many requests for tokens in a short time"
		f.Remedy = "Wait a minute. Ask once per process and share the token: one Source for all clients, no credential made per request."
	case f.Kind == entraredis.KindIssuerUnreachable && strings.HasPrefix(status, "5"):
		f.Anchor, f.Means = "issuer-outage", "the issuer answers with an error of its own, also when asked again"
		f.Remedy = "Nothing to change here: look at https://status.azure.com, or at the machine if it is a managed identity's endpoint. Tokens held stay valid until they expire."
	case f.Kind == entraredis.KindIssuerUnreachable && has("x509:"):
		f.Anchor, f.Means = "issuer-certificate", "the issuer's certificate is not trusted here: a proxy inspects TLS, or CA certificates are missing"
		f.Remedy = "Install the CA certificates (package ca-certificates), or the inspecting proxy's own CA: --ca-file."
	case f.Kind == entraredis.KindIssuerUnreachable && has("no such host"):
		f.Anchor, f.Means = "issuer-name", "the issuer's host name does not resolve"
		f.Remedy = "Check --authority-host and AZURE_AUTHORITY_HOST, and that DNS here resolves login.microsoftonline.com."
	case f.Kind == entraredis.KindIssuerRefused && !has("AADSTS") && has("ManagedIdentityCredential"):
		f.Kind, f.Anchor = entraredis.KindManagedIdentityUnavailable, "identity-endpoint-refused"
		f.Means = "the identity endpoint of this service answers and refuses, without saying why"
		f.Remedy = "See that IDENTITY_ENDPOINT and IDENTITY_HEADER are the ones this very instance was started with (they change with a restart, and are of no use elsewhere), and that the app's Identity page in the portal shows the identity."
	case f.Kind == entraredis.KindIssuerRefused && !has("AADSTS"):
		f.Anchor, f.Means = "refused-without-code", "the refusal has no AADSTS code, so it is probably not Microsoft Entra ID that answers"
		f.Remedy = "Check the authority (--authority-host, AZURE_AUTHORITY_HOST, --cloud), and that no proxy or captive portal answers in its place (HTTPS_PROXY, NO_PROXY)."
	case f.Kind == entraredis.KindManagedIdentityUnavailable && status != "":
		f.Anchor, f.Means = "not-azure-metadata", "something answers at the metadata address, but not with tokens: another cloud, a gateway, or a machine without identity"
	}
	return f
}

var tokenMeanings = map[entraredis.Kind]string{
	entraredis.KindUnknown:                    "the credential failed for a reason of its own",
	entraredis.KindManagedIdentityUnavailable: "there is no managed identity to use here",
	entraredis.KindWrongTenant:                "the tenant, the application or the resource is not known where it was looked for",
	entraredis.KindIssuerUnreachable:          "the issuer could not be asked",
	entraredis.KindIssuerRefused:              "the issuer was asked and refused; the code says why",
	entraredis.KindCredentialUnavailable:      "there is nothing to authenticate with",
	entraredis.KindClockSkew:                  "the issuer refuses times that this machine's clock has produced",
}
