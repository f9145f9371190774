package doctor

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// redactor puts placeholders in the place of names, addresses and IDs, the
// same one for the same value, so that a report still says what equals what.
type redactor struct {
	names []string          // to be hidden wherever they stand
	given map[string]string // placeholders by value
	count map[string]int    // of placeholders by what they stand for
}

func newRedactor(names ...string) *redactor {
	d := &redactor{given: map[string]string{}, count: map[string]int{}}
	d.learn(names...)
	return d
}

// learn adds names that no pattern finds.
func (d *redactor) learn(names ...string) {
	for _, n := range names {
		if len(n) > 1 && !slices.Contains(d.names, n) && !slices.Contains(public, n) {
			d.names = append(d.names, n)
		}
	}
	// A name that holds another one is to be hidden as a whole.
	slices.SortFunc(d.names, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// public are values that are the same for everybody: Azure Redis and the Azure
// CLI as applications, the metadata service, this machine.
var public = []string{
	"acca5fbb-b7e4-4009-81f1-37e38fd66d78", "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
	"169.254.169.254", "127.0.0.1", "::1", "localhost", "0.0.0.0",
	"sts.windows.net", "management.core.windows.net", "vault.azure.net",
}

var (
	resourceID = regexp.MustCompile(`(?i)/subscriptions/[^\s"',;]+`)
	mailName   = regexp.MustCompile(`[A-Za-z0-9._%+#-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`)
	anyGUID    = regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`)
	azureName  = regexp.MustCompile(`(?i)([a-z0-9-]+\.)+(windows\.net|azure\.net|chinacloudapi\.cn|usgovcloudapi\.net|sovcloud-api\.(de|fr|sg))`)
	tenantName = regexp.MustCompile(`(?i)[a-z0-9-]+\.onmicrosoft\.com`)
	addressV4  = regexp.MustCompile(`\b[0-9]{1,3}(\.[0-9]{1,3}){3}\b`)
	addressV6  = regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*`)
)

// apply returns the text with placeholders.
func (d *redactor) apply(text string) string {
	for _, name := range d.names {
		what := "name"
		switch {
		case azureName.FindString(name) == name:
			continue // hidden below, where a product's suffix is kept
		case anyGUID.MatchString(name):
			what = "id"
		}
		text = strings.ReplaceAll(text, name, d.placeholder(what, name))
	}
	text = d.replace(text, resourceID, "resource", nil)
	text = d.replace(text, mailName, "user", nil)
	text = d.replace(text, anyGUID, "id", nil)
	text = d.replace(text, tenantName, "tenant", nil)
	text = azureName.ReplaceAllStringFunc(text, func(s string) string {
		if slices.Contains(public, strings.ToLower(s)) {
			return s
		}
		for _, p := range products {
			if own, ok := strings.CutSuffix(strings.ToLower(s), p.suffix); ok {
				suffix := p.suffix
				if own == privateLabel { // a zone, which is the same for everybody
					return s
				}
				if cache, ok := strings.CutSuffix(own, "."+privateLabel); ok {
					own, suffix = cache, "."+privateLabel+suffix
				}
				return d.placeholder("cache", own) + suffix
			}
			if strings.EqualFold("."+s, p.suffix) { // behind a placeholder, or in a remedy
				return s
			}
		}
		return d.placeholder("host", strings.ToLower(s))
	})
	isAddress := func(s string) bool {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	text = d.replace(text, addressV4, "address", isAddress)
	return d.replace(text, addressV6, "address", isAddress)
}

func (d *redactor) replace(text string, pattern *regexp.Regexp, what string, fits func(string) bool) string {
	return pattern.ReplaceAllStringFunc(text, func(s string) string {
		if slices.Contains(public, strings.ToLower(s)) || fits != nil && !fits(s) {
			return s
		}
		return d.placeholder(what, strings.ToLower(s))
	})
}

func (d *redactor) placeholder(what, value string) string {
	key := what + " " + strings.ToLower(value)
	if d.given[key] == "" {
		d.count[what]++
		d.given[key] = fmt.Sprintf("<%s-%d>", what, d.count[what])
	}
	return d.given[key]
}
