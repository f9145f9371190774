package doctor_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

// patient is an emulated cache and the doctor's options for it. A row of the
// table changes either.
type patient struct {
	*emulator.Emulator
	t       *testing.T
	o       doctor.Options
	tokens  *recorder
	onBegin func(check string) // when a check begins
}

// newPatient returns the options under which all is well: a service principal
// with the policy Data Owner, and the cache under its own host name.
func newPatient(t *testing.T, e *emulator.Emulator, sockets bool) *patient {
	p := &patient{Emulator: e, t: t, onBegin: func(string) {}}
	p.o = doctor.Options{
		Addr: e.Host(), IssuerURL: e.IssuerURL(), Transport: e.HTTPClient().Transport,
		Resolver: resolver{addrs: []netip.Addr{netip.MustParseAddr("10.1.2.3")}},
	}
	if sockets {
		p.o.TLSConfig = e.TLSConfig()
		if p.o.TLSConfig != nil {
			p.o.TLSConfig.ServerName = "" // the doctor is to find it
		}
		p.o.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, e.Host()+":") {
				addr = e.RedisAddr()
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	} else {
		p.o.Plaintext = true
		p.o.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx) }
	}
	p.as("app")
	return p
}

// settings are what points a credential at the emulator.
func (p *patient) settings() credential.Settings {
	return credential.Settings{AuthorityHost: p.IssuerURL(), Transport: p.HTTPClient()}
}

// use has the doctor use a credential of the kind.
func (p *patient) use(kind credential.Kind, s credential.Settings) {
	p.t.Helper()
	cred, err := credential.New(kind, s)
	if err != nil {
		p.t.Fatal(err)
	}
	p.give(string(kind), cred)
}

// give has the doctor use a credential.
func (p *patient) give(kind string, cred azcore.TokenCredential) {
	p.tokens = &recorder{TokenCredential: cred}
	p.o.Credential, p.o.CredentialKind = p.tokens, kind
}

// as has the doctor be one of the emulator's principals.
func (p *patient) as(name string) {
	p.t.Helper()
	who, s := p.Principal(name), p.settings()
	s.TenantID, s.ClientID = p.TenantID(), who.ClientID
	switch who.Kind {
	case emulator.PrincipalUser:
		s.ClientID, s.Username, s.Password = "04b07795-8ddb-461a-bbee-02f9e1bf7b46", who.UPN, who.Password
		p.use(credential.UsernamePassword, s)
	default:
		s.ClientSecret = who.ClientSecret
		p.use(credential.ClientSecret, s)
	}
}

// managed has the doctor be a managed identity.
func (p *patient) managed(clientID string) {
	p.t.Helper()
	p.use(credential.ManagedIdentity, credential.Settings{ClientID: clientID, Transport: p.HTTPClient()})
}

// run examines and returns the report with all that was written on the way.
func (p *patient) run(ctx context.Context) (*doctor.Report, string) {
	p.t.Helper()
	var written strings.Builder
	p.o.Progress = func(m doctor.Progress) {
		switch {
		case m.Result != nil:
			if err := m.Result.Write(&written, doctor.Style{Verbose: true}); err != nil {
				p.t.Error(err)
			}
		case m.Note != "":
			written.WriteString(m.Note + "\n")
		default:
			p.onBegin(m.Check.Name)
		}
	}
	report, err := doctor.Run(ctx, p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	return report, written.String() + report.Conclusion()
}

// recorder remembers the tokens it passed on.
type recorder struct {
	azcore.TokenCredential

	mu     sync.Mutex // guards tokens
	tokens []string
}

func (r *recorder) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := r.TokenCredential.GetToken(ctx, o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.Token != "" {
		r.tokens = append(r.tokens, t.Token)
	}
	return t, err
}

// static is a credential that returns one token.
type static azcore.AccessToken

func (s static) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken(s), nil
}

// resolver is a DNS of one answer.
type resolver struct {
	addrs []netip.Addr
	alias string
	err   error
}

func (r resolver) LookupCNAME(context.Context, string) (string, error) { return r.alias, r.err }
func (r resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.addrs, r.err
}

// searchForSecrets fails if a text holds a token or a secret of the emulator.
func (p *patient) searchForSecrets(texts ...string) {
	p.t.Helper()
	secrets := []string{p.IdentityHeader()}
	for _, who := range emulator.DefaultPrincipals() {
		secrets = append(secrets, who.ClientSecret, who.Password)
	}
	p.tokens.mu.Lock()
	defer p.tokens.mu.Unlock()
	for _, token := range p.tokens.tokens {
		secrets = append(secrets, token)
		if _, signature, ok := strings.Cut(token, "."); ok {
			secrets = append(secrets, signature) // a part is enough to be one too many
		}
	}
	for _, secret := range secrets {
		for _, text := range texts {
			if secret != "" && strings.Contains(text, secret) {
				p.t.Errorf("the output holds the secret %.12q...:\n%s", secret, text)
			}
		}
	}
}

// onPath puts a directory with one program in front of nothing else than a
// shell: the tools of this machine must not decide a test.
func onPath(t *testing.T, program, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	if program != "" {
		if err := os.WriteFile(dir+"/"+program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}
