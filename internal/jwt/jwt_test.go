package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"

	"github.com/entraredis/entraredis/internal/jwt"
)

// unsigned builds a token by hand, so that Read is not tested with Sign.
func unsigned(header, claims string) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(claims)) + "." + e.EncodeToString([]byte("signature"))
}

const rs256 = `{"typ":"JWT","alg":"RS256","kid":"k"}`

func TestRead(t *testing.T) {
	want := jwt.Claims{
		ObjectID: "0b1f6471-1bf0-4dda-aec3-cb9272f09590", TenantID: "tid-1", AppID: "app-1", Subject: "sub-1",
		Issuer: "https://sts.windows.net/tid-1/", IdentityType: "app", Version: "1.0",
		Audience: []string{"https://redis.azure.com"},
		IssuedAt: time.Unix(1700000000, 0).UTC(), NotBefore: time.Unix(1700000001, 0).UTC(), ExpiresAt: time.Unix(1700003600, 0).UTC(),
	}
	got, err := jwt.Read(unsigned(rs256, `{"oid":"0b1f6471-1bf0-4dda-aec3-cb9272f09590","tid":"tid-1","appid":"app-1","sub":"sub-1",
		"iss":"https://sts.windows.net/tid-1/","idtyp":"app","ver":"1.0","aud":"https://redis.azure.com",
		"iat":1700000000,"nbf":1700000001,"exp":1700003600}`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadForms(t *testing.T) {
	tests := map[string]struct {
		claims string
		want   jwt.Claims
	}{
		"any Unicode":       {`{"oid":"o","name":"Zoë 王小明 Ωμέγα 🦊 \u00e9","upn":"zoë@例え.test"}`, jwt.Claims{ObjectID: "o", Name: "Zoë 王小明 Ωμέγα 🦊 é", UPN: "zoë@例え.test"}},
		"audience array":    {`{"aud":["a","b"]}`, jwt.Claims{Audience: []string{"a", "b"}}},
		"float seconds":     {`{"exp":1.7000036e9}`, jwt.Claims{ExpiresAt: time.Unix(1700003600, 0).UTC()}},
		"fraction":          {`{"exp":1700003600.5}`, jwt.Claims{ExpiresAt: time.Unix(1700003600, 5e8).UTC()}},
		"v2.0 names":        {`{"azp":"client","preferred_username":"ada@x.test","ver":"2.0"}`, jwt.Claims{AppID: "client", UPN: "ada@x.test", Version: "2.0"}},
		"odd display name":  {`{"oid":"o","name":7,"sub":null}`, jwt.Claims{ObjectID: "o"}},
		"null like absence": {`{"oid":null,"exp":null,"aud":null}`, jwt.Claims{}},
		"nothing":           {`{}`, jwt.Claims{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := jwt.Read(unsigned(rs256, test.claims))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestReadPadding(t *testing.T) {
	// Claims of each length modulo 3, so that 0, 1 and 2 characters of padding occur.
	for _, name := range []string{"a", "ab", "abc", "é", "王"} {
		body, _ := json.Marshal(map[string]string{"oid": "o", "name": name})
		for _, encoding := range []*base64.Encoding{base64.URLEncoding, base64.RawURLEncoding} {
			token := encoding.EncodeToString([]byte(rs256)) + "." + encoding.EncodeToString(body) + "." + encoding.EncodeToString([]byte("s"))
			got, err := jwt.Read(token)
			if err != nil || got.ObjectID != "o" || got.Name != name {
				t.Errorf("name %q: got %+v, %v", name, got, err)
			}
		}
	}
}

func TestReadIgnoresAlgorithm(t *testing.T) {
	for _, alg := range []string{"none", "HS256", "PS256", "ML-DSA-65"} {
		got, err := jwt.Read(unsigned(`{"alg":"`+alg+`"}`, `{"oid":"o"}`))
		if err != nil || got.ObjectID != "o" {
			t.Errorf("alg %s: got %+v, %v", alg, got, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	tests := map[string]struct{ token, want string }{
		"empty":           {"", "token is empty"},
		"opaque":          {"SECRETSECRET", "token is not a JWT: it has 1 parts, not 3"},
		"encrypted":       {"SECRET.SECRET.SECRET.SECRET.SECRET", "token is encrypted (a JWE of five parts): its claims cannot be read"},
		"large":           {strings.Repeat("S", 256<<10+1), "token of 262145 bytes is larger than the 262144 allowed"},
		"header encoding": {"SECRET!.e30.x", "token is malformed: header is not base64url"},
		"header JSON":     {"U0VDUkVU.e30.x", "token is malformed: header is not a JSON object"},
		"claims encoding": {"e30.SECRET!.x", "token is malformed: claims are not base64url"},
		"claims JSON":     {unsigned(rs256, "SECRET"), "token is malformed: claims are not a JSON object"},
		"claims array":    {unsigned(rs256, `["SECRET"]`), "token is malformed: claims are not a JSON object"},
		"oid number":      {unsigned(rs256, `{"oid":7773}`), `token claim "oid" is a number, not a string`},
		"aud object":      {unsigned(rs256, `{"aud":{"SECRET":1}}`), `token claim "aud" is an object, not a string or an array of strings`},
		"aud mixed":       {unsigned(rs256, `{"aud":["a",true]}`), `token claim "aud" holds a boolean, not only strings`},
		"exp string":      {unsigned(rs256, `{"exp":"SECRET"}`), `token claim "exp" is a string, not a number of seconds`},
		"exp huge":        {unsigned(rs256, `{"exp":1e300}`), `token claim "exp" is outside the years 1970 to 9999`},
		"nbf negative":    {unsigned(rs256, `{"nbf":-1}`), `token claim "nbf" is outside the years 1970 to 9999`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := jwt.Read(test.token)
			if err == nil || err.Error() != test.want {
				t.Fatalf("got error %v\nwant %s", err, test.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error holds part of the token: %v", err)
			}
		})
	}
}

func newKey(t *testing.T) *jwt.Key {
	t.Helper()
	k, err := jwt.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignVerify(t *testing.T) {
	k := newKey(t)
	token, err := k.Sign(map[string]any{"oid": "o", "name": "Zoë", "exp": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(token)
	if err != nil {
		t.Fatalf("an expired token has a valid signature all the same: %v", err)
	}
	want := jwt.Claims{ObjectID: "o", Name: "Zoë", ExpiresAt: time.Unix(1, 0).UTC()}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if read, err := jwt.Read(token); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("Read: got %+v, %v", read, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, other := newKey(t), newKey(t)
	token, err := k.Sign(map[string]any{"oid": "o"})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Sign(map[string]any{"oid": "o"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	changed := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"p"}`)) + "." + parts[2]
	kid := k.JWK()["kid"].(string)
	hmac := jwtlib.NewWithClaims(jwtlib.SigningMethodHS256, jwtlib.MapClaims{"oid": "o"})
	hmac.Header["kid"] = kid
	confused, err := hmac.SignedString([]byte(k.JWK()["n"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ token, want string }{
		"other key":           {foreign, "token was signed with another key"},
		"changed claims":      {changed, "token signature is not valid"},
		"no signature":        {parts[0] + "." + parts[1] + ".", "token signature is not valid"},
		"alg none":            {unsigned(`{"alg":"none","kid":"`+kid+`"}`, `{"oid":"o"}`), "token signature is not valid"},
		"alg unknown":         {unsigned(`{"alg":"X","kid":"`+kid+`"}`, `{"oid":"o"}`), "token signature is not valid"},
		"algorithm confusion": {confused, "token signature is not valid"},
		"garbage":             {"a.b.c", "token is malformed: header is not base64url"},
		"empty":               {"", "token is empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := k.Verify(test.token); err == nil || err.Error() != test.want {
				t.Errorf("got %+v, %v; want error %q", got, err, test.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(unsigned(rs256, `{"oid":"o","aud":"a","exp":1700003600}`))
	f.Fuzz(func(t *testing.T, token string) {
		c, err := jwt.Read(token)
		if err != nil {
			if text := err.Error(); len(text) > 120 {
				t.Fatalf("error of %d bytes", len(text))
			}
			if !reflect.DeepEqual(c, jwt.Claims{}) && !strings.HasPrefix(err.Error(), "token claim ") {
				t.Fatalf("claims with error %v", err)
			}
			return
		}
		for _, at := range []time.Time{c.IssuedAt, c.NotBefore, c.ExpiresAt} {
			if _, err := at.MarshalJSON(); err != nil {
				t.Fatalf("time out of range: %v", err)
			}
		}
	})
}
