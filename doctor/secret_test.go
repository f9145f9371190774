package doctor_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

// What others say may hold a token: a tool that prints what it should not, a
// server that repeats what it was sent.
func TestSecretsOfOthersAreStruckOut(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJvaWQiOiJhIn0xxxxxxxx.c2lnbmF0dXJl"
	for _, tc := range []struct {
		name    string
		provoke func(p *patient) (secret string)
	}{
		{"az prints a token", func(p *patient) string {
			onPath(t, "az", "echo '{\"accessToken\": \""+jwt+"\"' >&2\nexit 1")
			p.use(credential.AzureCLI, credential.Settings{})
			return jwt
		}},
		{"az prints a secret", func(p *patient) string {
			onPath(t, "az", "echo 'az login --client_secret=hush-hush-hush' >&2\nexit 1")
			p.use(credential.AzureCLI, credential.Settings{})
			return "hush-hush"
		}},
		{"Redis repeats the token", func(p *patient) string {
			token := p.Mint("app", nil)
			p.give("token", static(azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}))
			redisError("redis-auth", "", "ERR cannot check "+token)(p)
			return token
		}},
		{"Redis repeats an opaque token", func(p *patient) string {
			p.give("token", static(azcore.AccessToken{Token: "opaque-and-secret", ExpiresOn: time.Now().Add(time.Hour)}))
			p.o.Username = emulator.AppObjectID
			redisError("redis-auth", "", "ERR cannot check opaque-and-secret")(p)
			return "opaque-and-secret"
		}},
		{"a node repeats the token", func(p *patient) string {
			token := p.Mint("app", nil)
			p.give("token", static(azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}))
			redisError("redis-command", "CLUSTER SLOTS", "ERR not for "+token)(p)
			return token
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPatient(t, emulator.RunT(t), true)
			secret := tc.provoke(p)
			report, text := p.run(context.Background())
			asJSON, err := json.Marshal(report)
			if err != nil {
				t.Fatal(err)
			}
			for _, out := range []string{text, string(asJSON)} {
				if strings.Contains(out, secret) {
					t.Errorf("holds the secret:\n%s", out)
				}
				if !strings.Contains(out, "[redacted]") {
					t.Errorf("the secret did not get this far, so the test proves nothing:\n%s", out)
				}
			}
		})
	}
}
