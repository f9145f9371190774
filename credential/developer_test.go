package credential_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/entraredis/entraredis/credential"
)

// azAnswer is a script that answers as "az account get-access-token" does.
func azAnswer(token string) string {
	return fmt.Sprintf("echo '{\"accessToken\":\"%s\",\"expires_on\":%d}'\n", token, time.Now().Add(time.Hour).Unix())
}

func TestAzureCLI(t *testing.T) {
	em := start(t)
	arguments := filepath.Join(t.TempDir(), "arguments")
	program(t, "az", fmt.Sprintf("echo \"$*\" >>'%s'\n", arguments)+azAnswer(em.Mint("ada", nil)))
	token, err := request(t, credential.AzureCLI, credential.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := objectID(t, token.Token), em.Principal("ada").ObjectID; got != want {
		t.Errorf("got a token for %s, want %s", got, want)
	}
	if _, err = request(t, credential.AzureCLI, credential.Settings{TenantID: tenant}); err != nil {
		t.Fatal(err)
	}
	const call = "account get-access-token -o json --resource https://redis.azure.com"
	wantFile(t, arguments, call+"\n"+call+" --tenant "+tenant+"\n")
}

func TestAzureCLINotSignedIn(t *testing.T) {
	program(t, "az", `echo "Please run 'az login' to setup account." >&2; exit 1`)
	wantRefusal(t, credential.AzureCLI, credential.Settings{}, "Please run 'az login'")
}

func TestAzureDeveloperCLI(t *testing.T) {
	em := start(t)
	arguments := filepath.Join(t.TempDir(), "arguments")
	program(t, "azd", fmt.Sprintf("echo \"$*\" >'%s'\n", arguments)+
		fmt.Sprintf(`echo '{"token":"%s","expiresOn":"%s"}'`, em.Mint("ada", nil), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	token, err := request(t, credential.AzureDeveloperCLI, credential.Settings{TenantID: tenant})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := objectID(t, token.Token), em.Principal("ada").ObjectID; got != want {
		t.Errorf("got a token for %s, want %s", got, want)
	}
	wantFile(t, arguments, "auth token -o json --no-prompt --scope "+scope+" --tenant-id "+tenant+"\n")
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("called with\n%swant\n%s", got, want)
	}
}
