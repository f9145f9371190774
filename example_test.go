package entraredis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
)

// The whole way on the emulator: a service principal's token from its issuer,
// accepted by its Redis.
func Example() {
	ctx := context.Background()
	emu, err := emulator.Start(ctx, emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer emu.Close()
	app := emu.Principal("app")
	credential, err := azidentity.NewClientSecretCredential(emu.TenantID(), app.ClientID, app.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{
			DisableInstanceDiscovery: true,
			ClientOptions: policy.ClientOptions{
				Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: emu.IssuerURL()},
				Transport: emu.HTTPClient(),
			},
		})
	if err != nil {
		log.Fatal(err)
	}

	source, err := entraredis.New(credential, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	dialer := &entraredis.Dialer{Source: source, TLSConfig: emu.TLSConfig()}
	conn, err := dialer.DialContext(ctx, "tcp", emu.RedisAddr())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	fmt.Fprint(conn, "PING\r\n")
	reply, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Printf("%q %v, authenticated as the object ID: %v\n", reply, err, source.Status().Username == app.ObjectID)
	// Output: "+PONG\r\n" <nil>, authenticated as the object ID: true
}

// Any credential of azidentity will do.
func ExampleNew() {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		log.Fatal(err)
	}
	source, err := entraredis.New(credential, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()

	username, password, err := source.Credentials(context.Background())
	if err != nil {
		if e, ok := errors.AsType[*entraredis.TokenError](err); ok {
			log.Printf("%s: see %s", e.Remedy(), e.Anchor())
		}
		log.Fatal(err)
	}
	_, _ = username, password // AUTH username password
}

// A scope that is not well-formed is refused at once.
func ExampleNew_scope() {
	_, err := entraredis.New(fixed("s3cret"), &entraredis.Options{Scope: "cca5fbb-b7e4-4009-81f1-37e38fd66d78/.default"})
	fmt.Println(err)
	// Output: entraredis: scope "cca5fbb-b7e4-4009-81f1-37e38fd66d78/.default": "cca5fbb-b7e4-4009-81f1-37e38fd66d78" is not a well-formed GUID; it looks like the application ID of Azure Redis, acca5fbb-b7e4-4009-81f1-37e38fd66d78, with its first letter missing
}

// fixed is a credential with one token for ever.
type fixed string

func (f fixed) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(f), ExpiresOn: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
}

// A token shows itself without its secret.
func ExampleToken() {
	source, err := entraredis.New(fixed("s3cret"), &entraredis.Options{Username: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	token, err := source.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
	fmt.Println(token.Password())
	// Output:
	// entraredis.Token{Username: "ada", ExpiresOn: 2100-01-01T00:00:00Z, [redacted]}
	// s3cret
}

func ExampleSource_Subscribe() {
	source, err := entraredis.New(fixed("s3cret"), &entraredis.Options{Username: "ada"})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	tokens := make(chan entraredis.Token, 1)
	unsubscribe := source.Subscribe(func(t entraredis.Token) { tokens <- t })
	defer unsubscribe()
	fmt.Println((<-tokens).Username)
	// Output: ada
}

func ExampleParseReply() {
	e := entraredis.ParseReply("-ERR WRONGPASS invalid username-password pair")
	fmt.Println(e.Kind, e.Anchor())
	fmt.Println(entraredis.ParseReply("-WRONGTYPE Operation against a key holding the wrong kind of value") == nil)
	// Output:
	// not-assigned docs/errors.md#not-assigned
	// true
}
