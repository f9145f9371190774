// Package config reads what `entraredis proxy` is told to do: targets as they
// stand on a command line, and files in YAML. It knows the form and not the
// names: what a setting means, and which there are, is its caller's.
package config

import (
	"fmt"
	"net/url"
	"strings"
)

// Setting is one value as it was written.
type Setting struct {
	Name  string
	Value string
	Place string // where it stands, for messages: "proxy.yaml:7", or the target
}

// Target is a cache and the settings that are its own.
type Target struct {
	Addr     string // HOST or HOST:PORT, not looked at
	Place    string
	Settings []Setting
}

// ParseTarget reads HOST[:PORT][?name=value&name=value...]. Values are
// percent-decoded; a plus sign is one. The error holds no value, since people
// paste connection strings, and those hold keys.
func ParseTarget(text string) (Target, error) {
	addr, query, _ := strings.Cut(strings.TrimSpace(text), "?")
	t := Target{Addr: addr, Place: "the target"}
	if addr == "" {
		return Target{}, fmt.Errorf("no host name in front of the settings")
	}
	// A comma begins the settings of a connection string, which hold a key.
	if host, _, cut := strings.Cut(addr, ","); !cut {
		t.Place = "target " + host
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			// That the name alone switches a setting on is what shells and URLs agree on.
			value = "true"
		}
		value, err := url.PathUnescape(value)
		if err != nil {
			return Target{}, fmt.Errorf("%s: the value of %q is not percent-encoded: write %%25 for a percent sign", t.Place, name)
		}
		if seen[name] {
			return Target{}, fmt.Errorf("%s: %q is set twice", t.Place, name)
		}
		seen[name] = true
		t.Settings = append(t.Settings, Setting{name, value, t.Place + "?" + name})
	}
	return t, nil
}
