package emulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

const azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

func postForm(t *testing.T, e *emulator.Emulator, target string, form url.Values) (status int, page string) {
	t.Helper()
	response, err := e.HTTPClient().PostForm(target, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestDevicePage(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	status, body := postForm(t, e, e.IssuerURL()+"/common/oauth2/v2.0/devicecode", values("client_id", azureCLI, "scope", scope))
	if status != http.StatusOK {
		t.Fatal(body)
	}
	user := regexp.MustCompile(`"user_code":"([A-Z0-9]{9})"`).FindStringSubmatch(body)
	device := regexp.MustCompile(`"device_code":"([^"]+)"`).FindStringSubmatch(body)
	if user == nil || device == nil {
		t.Fatal(body)
	}
	redeem := values("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", azureCLI, "device_code", device[1])
	if status, answer := askToken(t, e, "common", redeem); status != 400 || answer["error"] != "authorization_pending" {
		t.Errorf("before approval: %d %v", status, answer)
	}
	response, err := e.HTTPClient().Get(e.IssuerURL() + "/devicelogin?code=" + user[1])
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if !strings.Contains(string(page), `value="`+user[1]+`"`) || !strings.Contains(string(page), emulator.UserUPN) {
		t.Errorf("page without code or user: %s", page)
	}
	if status, page := postForm(t, e, e.IssuerURL()+"/devicelogin", values("code", "WRONGCODE", "upn", emulator.UserUPN)); status != 400 || !strings.Contains(page, "not valid") {
		t.Errorf("wrong code: %d %s", status, page)
	}
	if status, page := postForm(t, e, e.IssuerURL()+"/devicelogin", values("code", user[1], "upn", "nobody")); status != 400 || !strings.Contains(page, "no such user") {
		t.Errorf("wrong user: %d %s", status, page)
	}
	if status, page := postForm(t, e, e.IssuerURL()+"/devicelogin", values("code", strings.ToLower(user[1]), "upn", emulator.UserUPN)); status != 200 || !strings.Contains(page, "signed in as "+emulator.UserUPN) {
		t.Errorf("approval: %d %s", status, page)
	}
	status, answer := askToken(t, e, "common", redeem)
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	checkToken(t, e, answer["access_token"].(string), emulator.UserObjectID, "https://redis.azure.com")
	if status, answer := askToken(t, e, "common", redeem); status != 400 || answer["error"] != "bad_verification_code" {
		t.Errorf("second redemption: %d %v", status, answer)
	}
}

func TestDeviceCodeExpires(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	_, body := postForm(t, e, e.IssuerURL()+"/common/oauth2/v2.0/devicecode", values("client_id", azureCLI, "scope", scope))
	device := regexp.MustCompile(`"device_code":"([^"]+)"`).FindStringSubmatch(body)
	user := regexp.MustCompile(`"user_code":"([^"]+)"`).FindStringSubmatch(body)
	e.Advance(15 * time.Minute)
	if err := e.ApproveDevice(user[1], "ada"); err == nil {
		t.Error("an expired code was approved")
	}
	_, answer := askToken(t, e, "common", values("grant_type", "device_code", "client_id", azureCLI, "device_code", device[1]))
	if answer["error"] != "expired_token" {
		t.Errorf("got %v, want expired_token", answer)
	}
}

const verifier = "a-verifier-of-forty-three-characters-or-more"

func authorization(pairs ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	v := values("client_id", azureCLI, "response_type", "code", "response_mode", "form_post", "scope", scope+" openid",
		"redirect_uri", "http://localhost:1234", "state", `"><script>`, "code_challenge_method", "S256",
		"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestAuthorizeRefuses(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	for name, test := range map[string]struct {
		request url.Values
		code    float64
	}{
		"client":        {authorization("client_id", "x"), 700016},
		"redirect":      {authorization("redirect_uri", "https://evil.test"), 50011},
		"response type": {authorization("response_type", "token"), 70005},
		"response mode": {authorization("response_mode", "fragment"), 70007},
		"plain PKCE":    {authorization("code_challenge_method", "plain"), 501491},
		"resource":      {authorization("scope", "https://nowhere.test/.default"), 500011},
	} {
		var answer map[string]any
		getJSON(t, e, e.IssuerURL()+"/common/oauth2/v2.0/authorize?"+test.request.Encode(), &answer)
		if codes, _ := answer["error_codes"].([]any); len(codes) != 1 || codes[0] != test.code {
			t.Errorf("%s: got %v, want code %v", name, answer, test.code)
		}
	}
}

func TestAuthorizationCode(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	ask := func() string {
		t.Helper()
		status, page := postForm(t, e, e.IssuerURL()+"/common/oauth2/v2.0/authorize?"+authorization().Encode(), values("upn", emulator.UserUPN))
		code := regexp.MustCompile(`name="code" value="([^"]+)"`).FindStringSubmatch(page)
		if status != http.StatusOK || code == nil || !strings.Contains(page, `action="http://localhost:1234"`) {
			t.Fatalf("%d %s", status, page)
		}
		if strings.Contains(page, "><script>\"") || !strings.Contains(page, "&#34;&gt;&lt;script&gt;") {
			t.Errorf("state is not escaped: %s", page)
		}
		return code[1]
	}
	redeem := func(code string, pairs ...string) (status int, answer map[string]any) {
		form := values("grant_type", "authorization_code", "client_id", azureCLI, "code", code, "redirect_uri", "http://localhost:1234", "code_verifier", verifier, "client_info", "1")
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return askToken(t, e, "common", form)
	}
	code := ask()
	for name, test := range map[string]struct {
		pairs []string
		want  float64
	}{
		"verifier":     {[]string{"code_verifier", "other"}, 501481},
		"redirect":     {[]string{"redirect_uri", "http://localhost:9"}, 50011},
		"other client": {[]string{"client_id", emulator.AppClientID}, 70000},
	} {
		if _, answer := redeem(code, test.pairs...); answer["error_codes"].([]any)[0] != test.want {
			t.Errorf("%s: got %v, want %v", name, answer, test.want)
		}
	}
	status, answer := redeem(code)
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	checkToken(t, e, answer["access_token"].(string), emulator.UserObjectID, "https://redis.azure.com")
	for _, key := range []string{"id_token", "refresh_token", "client_info", "scope"} {
		if answer[key] == nil {
			t.Errorf("the answer lacks %s", key)
		}
	}
	if _, answer := redeem(code); answer["error_codes"].([]any)[0] != 54005.0 {
		t.Errorf("second redemption: %v", answer)
	}
	late := ask()
	e.Advance(10 * time.Minute)
	if _, answer := redeem(late); answer["error_codes"].([]any)[0] != 70008.0 {
		t.Errorf("expired code: %v", answer)
	}
}

func TestSignInPage(t *testing.T) {
	e := emulator.RunT(t, emulator.Options{NoListen: true})
	response, err := e.HTTPClient().Get(e.IssuerURL() + "/common/oauth2/v2.0/authorize?" + authorization("login_hint", emulator.UserUPN).Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, _ := io.ReadAll(response.Body)
	if !strings.Contains(string(page), `name="upn" value="`+emulator.UserUPN+`" autofocus`) {
		t.Errorf("no user to choose: %s", page)
	}
}
