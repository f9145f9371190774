package credential_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/credential"
)

func TestDefaultEnvironment(t *testing.T) {
	em := start(t)
	app := em.Principal("app")
	t.Setenv("AZURE_TENANT_ID", em.TenantID())
	t.Setenv("AZURE_CLIENT_ID", app.ClientID)
	t.Setenv("AZURE_CLIENT_SECRET", app.ClientSecret)
	wantToken(t, em, credential.Default, toward(t, em), "app")

	// The choice of a managed identity changes nothing for the members of the
	// chain before it.
	s := toward(t, em)
	s.ResourceID = em.Principal("mi-user").ResourceID
	wantToken(t, em, credential.Default, s, "app")

	t.Setenv("AZURE_CLIENT_SECRET", "wrong")
	wantRefusal(t, credential.Default, s, "AADSTS7000215")
}

func TestDefaultManagedIdentity(t *testing.T) {
	em := start(t)
	appService(t, em)
	user := em.Principal("mi-user")
	for _, tt := range []struct {
		name, principal string
		settings        credential.Settings
	}{
		{"system", "mi", credential.Settings{}},
		{"client ID", "mi-user", credential.Settings{ClientID: user.ClientID}},
		{"object ID", "mi-user", credential.Settings{ObjectID: user.ObjectID}},
		{"resource ID", "mi-user", credential.Settings{ResourceID: user.ResourceID}},
	} {
		t.Run(tt.name, func(t *testing.T) { wantToken(t, em, credential.Default, tt.settings, tt.principal) })
	}
	t.Run("setting before variable", func(t *testing.T) {
		t.Setenv("AZURE_CLIENT_ID", "00000000-1111-2222-3333-444444444444")
		wantToken(t, em, credential.Default, credential.Settings{ClientID: user.ClientID}, "mi-user")
	})
	t.Run("selection", func(t *testing.T) {
		t.Setenv("AZURE_TOKEN_CREDENTIALS", "managedidentitycredential")
		wantToken(t, em, credential.Default, credential.Settings{ClientID: user.ClientID}, "mi-user")
	})
	t.Run("refusal ends the chain", func(t *testing.T) {
		program(t, "az", azAnswer(em.Mint("ada", nil)))
		s := credential.Settings{ClientID: "00000000-1111-2222-3333-444444444444"}
		if token, err := request(t, credential.Default, s); err == nil {
			t.Errorf("got a token for %s, want the refusal of managed identity", objectID(t, token.Token))
		}
	})
}

func TestDefaultWorkloadIdentity(t *testing.T) {
	pod := newFederated(t)
	em := start(t, pod.principal)
	t.Setenv("AZURE_TENANT_ID", em.TenantID())
	t.Setenv("AZURE_CLIENT_ID", em.Principal("app").ClientID) // the pod's default, overridden below
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", write(t, "token", []byte(pod.assertion(t, nil))))
	s := toward(t, em)
	s.ClientID = pod.principal.ClientID
	wantToken(t, em, credential.Default, s, "pod")
}

// On a developer's machine neither environment nor managed identity exist, and
// the chain reaches the tools. One that is installed and not signed in is
// passed over.
func TestDefaultDeveloper(t *testing.T) {
	em := start(t)
	program(t, "azd", fmt.Sprintf(`echo '{"token":"%s","expiresOn":"2099-01-01T00:00:00Z"}'`, em.Mint("ada", nil)))
	program(t, "az", `echo "Please run 'az login' to setup account." >&2; exit 1`)
	tr := &transport{answer: noRoute}
	s := toward(t, em)
	s.CAFile, s.Transport, s.ObjectID = "", tr, client
	token, err := request(t, credential.Default, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := objectID(t, token.Token), em.Principal("ada").ObjectID; got != want {
		t.Errorf("got a token for %s, want %s of ada", got, want)
	}
	if got := tr.requests(); len(got) != 1 || got[0] != "169.254.169.254" {
		t.Errorf("asked %q, want one request to the metadata service", got)
	}

	t.Setenv("AZURE_TOKEN_CREDENTIALS", "prod")
	_, err = request(t, credential.Default, s)
	if err == nil || !strings.Contains(err.Error(), "EnvironmentCredential") || !strings.Contains(err.Error(), errNoRoute.Error()) || strings.Contains(err.Error(), "az login") {
		t.Errorf("got %v, want the failures of the prod members only", err)
	}
}
