package credential_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/credential"
	"github.com/entraredis/entraredis/emulator"
)

// appService makes this process look like one in Azure App Service.
func appService(t *testing.T, em *emulator.Emulator) {
	t.Helper()
	t.Setenv("IDENTITY_ENDPOINT", em.IdentityURL()+"/msi/token")
	t.Setenv("IDENTITY_HEADER", em.IdentityHeader())
}

// virtualMachine returns a transport on which the instance metadata service
// of a virtual machine is the emulator's.
func virtualMachine(em *emulator.Emulator) *transport {
	return &transport{answer: func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "169.254.169.254" {
			r = r.Clone(r.Context())
			r.URL.Host, r.Host = strings.TrimPrefix(em.IdentityURL(), "http://"), ""
		}
		return http.DefaultClient.Do(r)
	}}
}

func TestManagedIdentity(t *testing.T) {
	em := start(t)
	user := em.Principal("mi-user")
	identities := []struct {
		name, principal string
		settings        credential.Settings
	}{
		{"system", "mi", credential.Settings{}},
		{"client ID", "mi-user", credential.Settings{ClientID: user.ClientID}},
		{"object ID", "mi-user", credential.Settings{ObjectID: user.ObjectID}},
		{"resource ID", "mi-user", credential.Settings{ResourceID: user.ResourceID}},
	}
	for _, tt := range identities {
		t.Run("virtual machine/"+tt.name, func(t *testing.T) {
			s := tt.settings
			s.Transport = virtualMachine(em)
			wantToken(t, em, credential.ManagedIdentity, s, tt.principal)
		})
		t.Run("app service/"+tt.name, func(t *testing.T) {
			appService(t, em)
			wantToken(t, em, credential.ManagedIdentity, tt.settings, tt.principal)
		})
	}
	t.Run("not assigned", func(t *testing.T) {
		s := credential.Settings{ClientID: "00000000-1111-2222-3333-444444444444", Transport: virtualMachine(em)}
		wantRefusal(t, credential.ManagedIdentity, s, "isn't assigned to this resource")
	})
	t.Run("cloud shell has no user-assigned identities", func(t *testing.T) {
		t.Setenv("MSI_ENDPOINT", em.IdentityURL())
		_, err := credential.New(credential.ManagedIdentity, credential.Settings{ObjectID: user.ObjectID})
		if err == nil || !strings.Contains(err.Error(), "ObjectID cannot be used on this Azure service") {
			t.Errorf("got %v, want a *SettingError for ObjectID", err)
		}
	})
}

// Off Azure nothing answers in the place of the metadata service, or something
// else does. Both must be known long before the minute and more that
// azidentity's defaults take; the time here is synctest's.
func TestManagedIdentityOffAzure(t *testing.T) {
	noAzure(t)
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	notFound := func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNotFound, Status: "404 Not Found", Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	}
	for _, tt := range []struct {
		name     string
		answer   func(*http.Request) (*http.Response, error)
		settings credential.Settings
		within   time.Duration
	}{
		{"no route", noRoute, credential.Settings{}, 5 * time.Second},
		{"another cloud", notFound, credential.Settings{ClientID: client}, 5 * time.Second},
		{"no answer", hang, credential.Settings{ObjectID: client}, 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &transport{answer: tt.answer}
				s := tt.settings
				s.Transport = tr
				cred, err := credential.New(credential.ManagedIdentity, s)
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				_, err = cred.GetToken(context.Background(), tokenRequest)
				if err == nil {
					t.Fatal("got a token from nowhere")
				}
				if took := time.Since(begin); took > tt.within {
					t.Errorf("known after %v, want at most %v", took, tt.within)
				}
				if n := len(tr.requests()); n != 3 {
					t.Errorf("got %d requests, want 3: a blip must be survived", n)
				}
			})
		})
	}
}
