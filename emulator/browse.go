package emulator

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// The postback page is the emulator's own, so its form can be read this plainly.
var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// browse posts the choice of a user, then the form of the page that answers.
func browse(ctx context.Context, client *http.Client, authorizationURL, upn string) error {
	page, err := post(ctx, client, authorizationURL, url.Values{"upn": {upn}})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	action := formAction.FindStringSubmatch(page)
	if action == nil {
		return fmt.Errorf("sign in: the answer has no form")
	}
	fields := url.Values{}
	for _, f := range formField.FindAllStringSubmatch(page, -1) {
		fields.Add(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	if _, err := post(ctx, client, html.UnescapeString(action[1]), fields); err != nil {
		return fmt.Errorf("post the code: %w", err)
	}
	return nil
}

func post(ctx context.Context, client *http.Client, target string, form url.Values) (page string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), nil
}
