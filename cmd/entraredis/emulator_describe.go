package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/entraredis/entraredis/emulator"
)

// emulatorEnv is what to export so that azidentity, this command and Redis
// clients find and trust the emulator.
func emulatorEnv(e *emulator.Emulator, plaintext bool, caFile string) map[string]string {
	env := e.Env()
	host, port, _ := net.SplitHostPort(e.RedisAddr())
	env["REDIS_HOST"], env["REDIS_PORT"] = host, port
	if !plaintext {
		env["REDIS_TLS_SERVER_NAME"] = e.Host()
		env["ENTRAREDIS_SERVER_NAME"] = e.Host() // our own doctor subcommand
	}
	// Our own token subcommand.
	env["ENTRAREDIS_CA_FILE"] = caFile
	// Go and OpenSSL; Node.js; Python's requests.
	env["SSL_CERT_FILE"] = caFile
	env["NODE_EXTRA_CA_CERTS"] = caFile
	env["REQUESTS_CA_BUNDLE"] = caFile
	return env
}

func describeEmulator(w io.Writer, e *emulator.Emulator, options emulator.Options, format, caFile string) error {
	env := emulatorEnv(e, options.Plaintext, caFile)
	view := emulatorView{
		Flavor:        string(options.Flavor),
		TokenLifetime: short(options.TokenLifetime),
		IssuerURL:     e.IssuerURL(),
		IdentityURL:   e.IdentityURL(),
		TenantID:      e.TenantID(),
		CAFile:        caFile,
		Principals:    principalViews(e, options.Principals),
		Environment:   env,
	}
	view.Redis.Addr, view.Redis.TLS, view.Redis.ServerName = e.RedisAddr(), !options.Plaintext, e.Host()
	switch format {
	case "env":
		return writeExports(w, env)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(view)
	}
	return writeText(w, view)
}

// writeExports writes lines that every POSIX shell evaluates back to the same values.
func writeExports(w io.Writer, env map[string]string) error {
	for _, name := range sortedKeys(env) {
		if _, err := fmt.Fprintf(w, "export %s=%s\n", name, shellQuote(env[name])); err != nil {
			return err
		}
	}
	return nil
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func writeText(w io.Writer, v emulatorView) error {
	service, scheme, name := "Azure Cache for Redis", "rediss", "  certificate name "+v.Redis.ServerName
	if v.Flavor == string(emulator.FlavorAMR) {
		service = "Azure Managed Redis"
	}
	if !v.Redis.TLS {
		scheme, name = "redis", "  no TLS"
	}
	fmt.Fprintf(w, "%s, emulated; tokens live %s\n\n", service, v.TokenLifetime)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "redis\t%s://%s%s\n", scheme, v.Redis.Addr, name)
	fmt.Fprintf(tw, "issuer\t%s\n", v.IssuerURL)
	fmt.Fprintf(tw, "managed identity\t%s\n", v.IdentityURL)
	fmt.Fprintf(tw, "tenant\t%s\n", v.TenantID)
	fmt.Fprintf(tw, "CA certificate\t%s\n", v.CAFile)
	fmt.Fprint(tw, "\nPRINCIPAL\tKIND\tOBJECT ID (REDIS USER)\tCLIENT ID\tPOLICY\n")
	for _, p := range v.Principals {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.Kind, p.ObjectID, orDash(p.ClientID), orDash(p.Policy))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := writeExports(w, v.Environment); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nCtrl-C ends it.")
	return err
}

type emulatorView struct {
	Flavor        string `json:"flavor"`
	TokenLifetime string `json:"token_lifetime"`
	Redis         struct {
		Addr       string `json:"addr"`
		TLS        bool   `json:"tls"`
		ServerName string `json:"server_name"`
	} `json:"redis"`
	IssuerURL   string            `json:"issuer_url"`
	IdentityURL string            `json:"identity_url"`
	TenantID    string            `json:"tenant_id"`
	CAFile      string            `json:"ca_file"`
	Principals  []principalView   `json:"principals"`
	Environment map[string]string `json:"environment"`
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
