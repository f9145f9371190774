package credential_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

// page is a web page with a form, as a browser has it.
type page struct {
	client *http.Client
	at     *url.URL
	action *url.URL
	fields url.Values
}

var (
	formTag   = regexp.MustCompile(`<form[^>]*>`)
	inputTag  = regexp.MustCompile(`<input[^>]*>`)
	attribute = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

func attributes(tag string) map[string]string {
	m := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		m[a[1]] = html.UnescapeString(a[2])
	}
	return m
}

func open(client *http.Client, address string) (*page, error) {
	response, err := client.Get(address)
	return read(client, response, err)
}

// submit sends the form with the given fields changed.
func (p *page) submit(change map[string]string) (*page, error) {
	for k, v := range change {
		p.fields.Set(k, v)
	}
	response, err := p.client.PostForm(p.action.String(), p.fields)
	return read(p.client, response, err)
}

func read(client *http.Client, response *http.Response, err error) (*page, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", response.Request.URL.Host, response.Status, body)
	}
	p := &page{client: client, at: response.Request.URL, fields: url.Values{}}
	if p.action, err = p.at.Parse(attributes(formTag.FindString(string(body)))["action"]); err != nil {
		return nil, err
	}
	for _, tag := range inputTag.FindAllString(string(body), -1) {
		a := attributes(tag)
		p.fields.Add(a["name"], a["value"])
	}
	return p, nil
}

// signIn does in a browser what a user does after the program has opened the
// page: choose an account, and let the page answer the program.
func signIn(client *http.Client, address, user string) error {
	choose, err := open(client, address)
	if err != nil {
		return err
	}
	answer, err := choose.submit(map[string]string{"upn": user})
	if err != nil {
		return err
	}
	_, err = answer.submit(nil)
	return err
}

func TestDeviceCode(t *testing.T) {
	em := start(t)
	s := toward(t, em)
	s.TenantID = em.TenantID()
	s.DeviceCodePrompt = func(_ context.Context, userCode, verificationURL, message string) error {
		if !strings.Contains(message, userCode) || !strings.Contains(message, verificationURL) {
			t.Errorf("message %q names not both %q and %q", message, userCode, verificationURL)
		}
		p, err := open(em.HTTPClient(), verificationURL)
		if err != nil {
			return err
		}
		_, err = p.submit(map[string]string{"code": userCode, "upn": em.Principal("ada").UPN})
		return err
	}
	wantToken(t, em, credential.DeviceCode, s, "ada")
}

func TestDeviceCodePromptFails(t *testing.T) {
	em := start(t)
	s := toward(t, em)
	s.DeviceCodePrompt = func(context.Context, string, string, string) error { return errors.New("no terminal") }
	wantRefusal(t, credential.DeviceCode, s, "no terminal")
}

// Without a prompt the message goes to standard error: standard output is
// where a program may write a token.
func TestDeviceCodeDefaultPrompt(t *testing.T) {
	em := start(t)
	clear := em.SetFault(emulator.Fault{Endpoint: "token", Status: http.StatusBadRequest, Body: `{"error":"access_denied","error_description":"AADSTS70044: declined"}`})
	defer clear()
	output := capture(t, &os.Stdout)
	message := capture(t, &os.Stderr)
	wantRefusal(t, credential.DeviceCode, toward(t, em), "RESPONSE 400")
	if got := message(); !strings.Contains(got, em.IssuerURL()) {
		t.Errorf("standard error has %q, want the address to open", got)
	}
	if got := output(); got != "" {
		t.Errorf("standard output has %q, want nothing", got)
	}
}

// capture replaces a standard stream by a file, until the test ends or the
// returned function is called for what was written.
func capture(t *testing.T, stream **os.File) func() string {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	saved := *stream
	*stream = f
	restore := func() { *stream = saved }
	t.Cleanup(func() { restore(); f.Close() })
	return func() string {
		restore()
		content, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

func TestInteractiveBrowser(t *testing.T) {
	em := start(t)
	ada := em.Principal("ada")
	s := toward(t, em)
	s.TenantID, s.LoginHint = em.TenantID(), ada.UPN
	opened := ""
	s.OpenBrowser = func(address string) error {
		opened = address
		return signIn(em.HTTPClient(), address, ada.UPN)
	}
	wantToken(t, em, credential.InteractiveBrowser, s, "ada")
	u, err := url.Parse(opened)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"login_hint": ada.UPN, "client_id": developmentApp, "code_challenge_method": "S256"} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	s.OpenBrowser = func(string) error { return errors.New("no display") }
	wantRefusal(t, credential.InteractiveBrowser, s, "no display")
}

// The token of a sign-in serves until it expires: the user is asked once.
func TestInteractiveBrowserAsksOnce(t *testing.T) {
	noAzure(t)
	em := emulator.RunT(t) // tokens of an hour, which are cached
	s := toward(t, em)
	asked := 0
	s.OpenBrowser = func(address string) error {
		asked++
		return signIn(em.HTTPClient(), address, em.Principal("ada").UPN)
	}
	cred, err := credential.New(credential.InteractiveBrowser, s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := getToken(t, cred); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked the user %d times, want once", asked)
	}
}

// A caller that waits for another's sign-in leaves when its context ends.
func TestInteractiveBrowserWaiterLeaves(t *testing.T) {
	em := start(t)
	s := toward(t, em)
	signingIn, left := make(chan struct{}), make(chan struct{})
	s.OpenBrowser = func(string) error {
		close(signingIn)
		<-left
		return errors.New("closed the window")
	}
	cred, err := credential.New(credential.InteractiveBrowser, s)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := cred.GetToken(t.Context(), tokenRequest)
		first <- err
	}()
	<-signingIn
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cred.GetToken(ctx, tokenRequest); !errors.Is(err, context.Canceled) {
		t.Errorf("waiter got %v, want context.Canceled", err)
	}
	close(left)
	if err := <-first; err == nil || !strings.Contains(err.Error(), "closed the window") {
		t.Errorf("first caller got %v, want its own error", err)
	}
}

func TestInteractiveBrowserOtherTenant(t *testing.T) {
	noAzure(t)
	s := credential.Settings{TenantID: tenant, OpenBrowser: func(string) error { return nil }, Transport: &transport{answer: noRoute}}
	cred, err := credential.New(credential.InteractiveBrowser, s)
	if err != nil {
		t.Fatal(err)
	}
	other := tokenRequest
	other.TenantID = client
	if _, err := cred.GetToken(t.Context(), other); err == nil || !strings.Contains(err.Error(), "AdditionallyAllowedTenants") {
		t.Errorf("got %v, want an error that names AdditionallyAllowedTenants", err)
	}
}

// Without OpenBrowser the system's browser is started. This one is a shell
// script that runs this test program again, as the browser of TestMain.
func TestSystemBrowser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not find their browser on the PATH")
	}
	em := start(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := toward(t, em)
	t.Setenv("BROWSER_CA_FILE", s.CAFile)
	t.Setenv("BROWSER_USER", em.Principal("ada").UPN)
	program(t, "xdg-open", fmt.Sprintf("BROWSER_URL=\"$1\" exec '%s'\n", exe))
	wantToken(t, em, credential.InteractiveBrowser, s, "ada")
}

func TestMain(m *testing.M) {
	if address := os.Getenv("BROWSER_URL"); address != "" {
		if err := signIn(trusting(os.Getenv("BROWSER_CA_FILE")), address, os.Getenv("BROWSER_USER")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
