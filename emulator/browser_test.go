package emulator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/entraredis/entraredis/emulator"
)

// browserOf, when set, makes this test binary a browser: it hands the URL it
// was started with to the test that waits at that address.
const browserOf = "EMULATOR_TEST_BROWSER_OF"

func TestMain(m *testing.M) {
	if waiting := os.Getenv(browserOf); waiting != "" {
		response, err := http.Post(waiting, "text/plain", strings.NewReader(os.Args[len(os.Args)-1]))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_ = response.Body.Close()
		return
	}
	os.Exit(m.Run())
}

// TestInteractiveBrowserCredential starts the system's browser as azidentity
// does: the program called xdg-open is this test binary.
func TestInteractiveBrowserCredential(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the browser is found on PATH on Linux only")
	}
	e := emulator.RunT(t)
	opened := make(chan string, 1)
	waiting := listenOnce(t, opened)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "xdg-open")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(browserOf, waiting)
	c, err := azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{
		ClientOptions: clientOptions(e), DisableInstanceDiscovery: true, TenantID: e.TenantID(),
	})
	if err != nil {
		t.Fatal(err)
	}
	browsed := make(chan error, 1)
	go func() { browsed <- e.Browse(context.Background(), <-opened, "ada") }()
	first := getToken(t, c, scope)
	if err := <-browsed; err != nil {
		t.Fatal(err)
	}
	checkToken(t, e, first.Token, emulator.UserObjectID, "https://redis.azure.com")
	if second := getToken(t, c, scope); second.Token != first.Token {
		t.Error("the second token is not the cached first")
	}
}

// listenOnce serves an address that passes on what is posted to it.
func listenOnce(t *testing.T, posted chan<- string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted <- string(body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
