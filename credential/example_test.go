package credential_test

import (
	"errors"
	"fmt"

	"github.com/entraredis/entraredis/credential"
)

// The kind and the settings usually come from flags or a configuration file.
func ExampleNew() {
	cred, err := credential.New(credential.ManagedIdentity, credential.Settings{
		ClientID: "8a1d7a3e-58a4-4a8c-9d3b-3f0c1f0f7c11", // of a user-assigned identity
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%T\n", cred) // ready for entraredis.New
	// Output: *azidentity.ManagedIdentityCredential
}

func ExampleSettingError() {
	_, err := credential.New(credential.ClientSecret, credential.Settings{
		TenantID: "contoso.onmicrosoft.com",
		ClientID: "8a1d7a3e-58a4-4a8c-9d3b-3f0c1f0f7c11",
	})
	var wrong *credential.SettingError
	if errors.As(err, &wrong) {
		fmt.Printf("--%s %s\n", wrong.Flag(), wrong.Problem)
		fmt.Println(wrong.Remedy)
	}
	// Output:
	// --client-secret is not set
	// give the value (not the ID) of a secret of the application
}
