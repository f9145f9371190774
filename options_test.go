package entraredis

import (
	"strings"
	"testing"
	"time"
)

func TestCheckScope(t *testing.T) {
	for scope, want := range map[string]string{ // "" = good, else in the error
		"https://redis.azure.com/.default":                "",
		"https://redis.azure.com//.default":               "",
		"acca5fbb-b7e4-4009-81f1-37e38fd66d78/.default":   "",
		"ACCA5FBB-B7E4-4009-81F1-37E38FD66D78/.default":   "",
		"cca5fbb-b7e4-4009-81f1-37e38fd66d78/.default":    "not a well-formed GUID; it looks like the application ID of Azure Redis, acca5fbb-b7e4-4009-81f1-37e38fd66d78, with its first letter missing",
		"acca5fbb-b7e4-4009-81f1-37e38fd66d7/.default":    "not a well-formed GUID",
		"acca5fbb-b7e4-4009-81f1-37e38fd66d78":            `does not end in "/.default"`,
		"https://redis.azure.com":                         `want a form like "https://redis.azure.com/.default"`,
		"/.default":                                       "names no resource",
		"http://redis.azure.com/.default":                 "neither an https URL nor a GUID",
		"redis.azure.com/.default":                        "neither an https URL nor a GUID",
		"https:///.default":                               "neither an https URL nor a GUID",
		"https://redis.azure.com/?a=b/.default":           "neither an https URL nor a GUID",
		"https://redis.azure.com/.default openid":         `does not end in "/.default"`,
		"https://user:pw@redis.azure.com/.default":        "neither an https URL nor a GUID",
		"gcca5fbb-b7e4-4009-81f1-37e38fd66d78/.default":   "neither an https URL nor a GUID",
		"https://redis azure.com/.default":                "neither an https URL nor a GUID",
		"acca5fbb-b7e4-4009-81f1-37e38fd66d78/ /.default": "neither an https URL nor a GUID",
	} {
		err := checkScope(scope)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("checkScope(%q) = %v, want %q", scope, err, want)
		}
	}
}

func TestOptionsDefaults(t *testing.T) {
	var none *Options
	for _, o := range []*Options{none, {}} {
		got, err := o.withDefaults()
		if err != nil || got.Scope != DefaultScope || got.RequestTimeout != 30*time.Second || got.Logger == nil {
			t.Errorf("withDefaults = %+v, %v", got, err)
		}
	}
	given := Options{Scope: "nonsense"}
	if _, err := given.withDefaults(); err == nil {
		t.Error("withDefaults accepts a malformed scope")
	}
}
