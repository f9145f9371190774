package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/proxy"
)

// loaded parses a command line of proxy, with variables and a file, as the
// program does.
func loaded(t *testing.T, args, env []string, file string) (*configuration, error) {
	t.Helper()
	_, c, err := loadedBy(t, args, env, file)
	return c, err
}

// loadedBy is loaded, with what loads it again.
func loadedBy(t *testing.T, args, env []string, file string) (loader, *configuration, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "p.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	s := streams{in: &bytes.Buffer{}, out: &bytes.Buffer{}, err: &bytes.Buffer{}, env: lookup(env)}
	var l loader
	var c *configuration
	var o *proxyOptions
	cmd := &cobra.Command{Use: "proxy", SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if err := applyEnv(cmd.Flags(), s.env); err != nil {
			return err
		}
		var err error
		l = loader{streams: s, flags: cmd.Flags(), args: args, file: o.config}
		c, err = l.load()
		return err
	}}
	o = proxyFlags(cmd)
	cmd.SetArgs(append([]string{}, args...)) // nil would be those of this process
	err := cmd.Execute()
	return l, c, err
}

// of renders a setting and where it came from: "azure-cli from p.yaml:3".
func of(t *target, name string) string {
	f := t.flags.Lookup(name)
	if !f.Changed {
		return f.Value.String() + " from default"
	}
	return f.Value.String() + " from " + origin(t.flags, name)
}

func TestSettingsLayers(t *testing.T) {
	const file = "credential: azure-cli\nadditionally-allowed-tenants: [x, y]\ntargets:\n- host: a.example\n  credential: device-code\n- host: b.example\n"
	for _, tt := range []struct {
		name      string
		args, env []string
		file      string
		want      []string // credential by target
	}{
		{"default", []string{"h"}, nil, "", []string{"default from default"}},
		{"variable", []string{"h"}, []string{"ENTRAREDIS_CREDENTIAL=azure-cli"}, "", []string{"azure-cli from ENTRAREDIS_CREDENTIAL"}},
		{"flag over variable", []string{"h", "--credential", "device-code"}, []string{"ENTRAREDIS_CREDENTIAL=azure-cli"}, "", []string{"device-code from --credential"}},
		{"target over flag", []string{"h?credential=environment", "i", "--credential", "device-code"}, nil, "", []string{"environment from target h?credential", "device-code from --credential"}},
		{"file", nil, nil, file, []string{"device-code from p.yaml:5", "azure-cli from p.yaml:1"}},
		{"variable over file", nil, []string{"ENTRAREDIS_CREDENTIAL=environment"}, file, []string{"environment from ENTRAREDIS_CREDENTIAL", "environment from ENTRAREDIS_CREDENTIAL"}},
		{"flag over file", []string{"--credential", "environment"}, nil, file, []string{"environment from --credential", "environment from --credential"}},
		{"targets over the file's", []string{"h"}, nil, file, []string{"azure-cli from p.yaml:1"}},
	} {
		c, err := loaded(t, tt.args, tt.env, tt.file)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, target := range c.targets {
			got = append(got, of(target, "credential"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if tt.file != "" && !slices.Equal(c.targets[0].settings.AdditionallyAllowedTenants, []string{"x", "y"}) {
			t.Errorf("%s: got tenants %q", tt.name, c.targets[0].settings.AdditionallyAllowedTenants)
		}
	}
}

func TestWhereTargetsListen(t *testing.T) {
	unix := func(path string, mode fs.FileMode) daemon.Listen {
		return daemon.Listen{Network: "unix", Address: path, Mode: mode}
	}
	tcp := func(addr string) daemon.Listen { return daemon.Listen{Network: "tcp", Address: addr} }
	for _, tt := range []struct {
		args []string
		want [][]daemon.Listen
	}{
		{[]string{"a", "b"}, [][]daemon.Listen{{tcp("127.0.0.1:6379")}, {tcp("127.0.0.1:6380")}}},
		{[]string{"a", "b", "--listen", "[::1]:7000"}, [][]daemon.Listen{{tcp("[::1]:7000")}, {tcp("[::1]:7001")}}},
		{[]string{"a", "b", "--listen", "localhost:0"}, [][]daemon.Listen{{tcp("localhost:0")}, {tcp("localhost:0")}}},
		{[]string{"a?listen=127.0.0.2:1", "b"}, [][]daemon.Listen{{tcp("127.0.0.2:1")}, {tcp("127.0.0.1:6380")}}},
		{[]string{"a?unix=/s&unix-mode=0660", "b?unix=/t&listen=127.0.0.1:9"}, [][]daemon.Listen{{unix("/s", 0o660)}, {tcp("127.0.0.1:9"), unix("/t", 0o600)}}},
		{[]string{"a", "--unix", "/s"}, [][]daemon.Listen{{unix("/s", 0o600)}}},
		{[]string{"a?listen=0.0.0.0:6379&allow-remote"}, [][]daemon.Listen{{tcp("0.0.0.0:6379")}}},
		{[]string{"a?listen=:6379", "--proxy-password-file", "p", "--tls-cert", "c", "--tls-key", "k"}, [][]daemon.Listen{{tcp(":6379")}}},
	} {
		c, err := loaded(t, tt.args, nil, "")
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		if got := c.listen; !slices.EqualFunc(got, tt.want, func(a, b []daemon.Listen) bool { return slices.Equal(a, b) }) {
			t.Errorf("%q: got %+v, want %+v", tt.args, got, tt.want)
		}
	}
}

// Who exists is the machine's state: it is the target that fails, when it is opened.
func TestAnOwnerThatDoesNotExistIsTheTargetsAlone(t *testing.T) {
	c, err := loaded(t, []string{"a?unix=/s&unix-owner=no-such-user", "b?unix=/t&unix-owner=7:8", "c?unix=/u", "--credential", "azure-cli"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []*daemon.Owner
	for _, target := range c.targets[1:] {
		up, err := target.open(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		up.Source.Close()
		got = append(got, up.Owner)
	}
	if got[0] == nil || *got[0] != (daemon.Owner{UID: 7, GID: 8}) || got[1] != nil {
		t.Errorf("got %v, %v, want 7:8 and the process's own", got[0], got[1])
	}
	_, err = c.targets[0].open(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler), nil)
	if usage, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), "target a?unix-owner: ") || !strings.Contains(err.Error(), "no-such-user") || usage.hint == "" {
		t.Errorf("got %v, want what is wrong and where", err)
	}
}

func TestLookupOwner(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(me.Uid)
	if err != nil {
		t.Skip("owners are numbers on Unix alone")
	}
	for _, tt := range []struct {
		text     string
		uid, gid int
	}{
		{"7", 7, -1}, {"7:8", 7, 8}, {":8", -1, 8}, {me.Username, uid, -1}, {me.Username + ":8", uid, 8},
	} {
		if uid, gid, err := lookupOwner(tt.text); err != nil || uid != tt.uid || gid != tt.gid {
			t.Errorf("%q: got %d, %d, %v, want %d, %d", tt.text, uid, gid, err, tt.uid, tt.gid)
		}
	}
	for _, text := range []string{"no-such-user", "no-such-user:8", ":no-such-group", "7:no-such-group"} {
		if _, _, err := lookupOwner(text); err == nil || !strings.Contains(err.Error(), "no-such-") {
			t.Errorf("%q: got %v, want the name that is unknown", text, err)
		}
	}
}

func TestDialsAndSparesOfATarget(t *testing.T) {
	for _, tt := range []struct {
		args          []string
		file          string
		dials, spares int
	}{
		{[]string{"h:1"}, "", 16, 1},
		{[]string{"h:1?max-dials=3&spares=2", "--spares", "5"}, "", 3, 2},
		{[]string{"h:1?max-dials=0&spares=0"}, "", -1, 0},
		{nil, "spares: 7\ntargets:\n- host: h:1\n  max-dials: 4\n", 4, 7},
	} {
		c, err := loaded(t, append(tt.args, "--credential", "azure-cli"), nil, tt.file)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		up, err := c.targets[0].open(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		up.Source.Close()
		if up.Proxy.MaxDials != tt.dials || up.Proxy.Spares != tt.spares {
			t.Errorf("%q: got %d dials and %d spares, want %d and %d", tt.args, up.Proxy.MaxDials, up.Proxy.Spares, tt.dials, tt.spares)
		}
		if idle := up.Proxy.Dialer.MaxIdle; idle <= 0 || idle >= 10*time.Minute {
			t.Errorf("%q: upstreams may be idle for %v, and Azure closes them behind 10 minutes", tt.args, idle)
		}
	}
}

func TestSharingOfATarget(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		file  string
		mode  proxy.Upstreams
		pipes int
		reply time.Duration
	}{
		{[]string{"h:1"}, "", proxy.UpstreamsAuto, 0, 30 * time.Second},
		{[]string{"h:1?upstreams=shared&pipes=4", "--upstreams", "auto", "--reply-timeout", "5s"}, "", proxy.UpstreamsShared, 4, 5 * time.Second},
		{[]string{"h:1?reply-timeout=0", "--upstreams", "dedicated"}, "", proxy.UpstreamsDedicated, 0, -1},
		{nil, "upstreams: shared\nreply-timeout: 1m\ntargets:\n- host: h:1\n  upstreams: auto\n", proxy.UpstreamsAuto, 0, time.Minute},
	} {
		c, err := loaded(t, append(tt.args, "--credential", "azure-cli"), nil, tt.file)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		up, err := c.targets[0].open(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		up.Source.Close()
		if p := up.Proxy; p.Upstreams != tt.mode || p.Pipes != tt.pipes || p.ReplyTimeout != tt.reply {
			t.Errorf("%q: got %v, %d pipes, %v, want %v, %d, %v", tt.args, p.Upstreams, p.Pipes, p.ReplyTimeout, tt.mode, tt.pipes, tt.reply)
		}
	}
	for _, tt := range []struct {
		target string
		want   bool
	}{
		{"a.redis.cache.windows.net", true}, {"a.redis.cache.windows.net?maintenance-events=off", false},
		{"a.westeurope.redis.azure.net", false}, {"h:1", false}, {"h:1?maintenance-events=on", true},
	} {
		c, err := loaded(t, []string{tt.target, "--credential", "azure-cli"}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		up, err := c.targets[0].open(streams{env: lookup(nil)}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		up.Source.Close()
		if got := up.Proxy.MaintenanceEvents; got != tt.want {
			t.Errorf("%s: maintenance events %v, want %v", tt.target, got, tt.want)
		}
	}
	if _, err := loaded(t, []string{"h:1?maintenance-events=maybe", "--credential", "azure-cli"}, nil, ""); err == nil || !strings.Contains(err.Error(), `not "auto", "on" or "off"`) {
		t.Errorf("maintenance events that are neither on nor off: %v", err)
	}
	if _, err := loaded(t, []string{"h:1?upstreams=few", "--credential", "azure-cli"}, nil, ""); err == nil || !strings.Contains(err.Error(), `not "dedicated", "shared" or "auto"`) {
		t.Errorf("a mode that is none: %v", err)
	}
}

func TestTargetNamesAndAddresses(t *testing.T) {
	c, err := loaded(t, []string{"one.redis.cache.windows.net", "one.westeurope.redis.azure.net", "127.0.0.1:7", "x:1?name=mine"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range c.targets {
		got = append(got, target.name+" "+target.addr)
	}
	if want := []string{"one one.redis.cache.windows.net:6380", "one-2 one.westeurope.redis.azure.net:10000", "127.0.0.1:7 127.0.0.1:7", "mine x:1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	password := []string{"ENTRAREDIS_PROXY_PASSWORD=hunter2"}
	for _, tt := range []struct {
		args, env []string
		file      string
		want      string
	}{
		{nil, nil, "", "no target"},
		{[]string{"a?nonsense=1"}, nil, "", `target a?nonsense: there is no setting "nonsense"`},
		{[]string{"a?client-secret=hunter2"}, nil, "", `target a?client-secret: there is no setting "client-secret"`},
		{[]string{"a?admin=off"}, nil, "", `there is no setting "admin" for a target, but for the process`},
		{[]string{"a?credential=nonsense"}, nil, "", `target a?credential: invalid value "nonsense" for credential: must be one of`},
		{[]string{"a?unix-mode=999"}, nil, "", "not permission bits"},
		{[]string{"a:6380,password=hunter2"}, nil, "", "connection string"},
		{[]string{"a?name=x", "b?name=x"}, nil, "", `another target is named "x"`},
		{[]string{"a", "b", "--unix", "/s"}, nil, "", "--unix is for one target"},
		{[]string{"a?listen=127.0.0.1:6380", "b"}, nil, "", "targets a and b both listen on 127.0.0.1:6380"},
		{[]string{"a?listen=6380"}, nil, "", `"6380" is not host:port`},
		{[]string{"a?listen=127.0.0.1:70000"}, nil, "", "is not host:port"},
		{[]string{"a?listen=0.0.0.0:1"}, nil, "", "everybody there would act as this identity"},
		{[]string{"a?listen=:1"}, nil, "", "everybody there would act as this identity"},
		{[]string{"a?listen=10.0.0.1:1"}, password, "", "in the clear"},
		{[]string{"a?listen=10.0.0.1:1&tls-cert=c&tls-key=k"}, nil, "", "everybody there would act as this identity"},
		{[]string{"a?tls-cert=c"}, nil, "", "--tls-cert and --tls-key need each other"},
		{[]string{"a", "--admin", "0.0.0.0:9379"}, nil, "", "--admin: 0.0.0.0:9379 can be reached from other machines"},
		{[]string{"a", "--admin", "9379"}, nil, "", `--admin: "9379" is not host:port`},
		{nil, nil, "nonsense: 1\n", `no target`},
		{[]string{"a"}, nil, "nonsense: 1\n", `p.yaml:1: there is no setting "nonsense"`},
		{[]string{"a"}, nil, "drain-timeout: soon\n", `p.yaml:1: invalid value "soon" for drain-timeout: not a duration`},
		{nil, nil, "targets:\n- host: a\n  log-level: debug\n", `p.yaml:3: there is no setting "log-level" for a target`},
		{nil, nil, "targets: [", "p.yaml: "},
		{[]string{"a", "--config", "no-such-file"}, nil, "", "--config: open no-such-file"},
	} {
		_, err := loaded(t, tt.args, tt.env, tt.file)
		_, usage := errors.AsType[*usageError](err)
		if err == nil || !usage || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q %q: got %v, want %q", tt.args, tt.file, err, tt.want)
		}
	}
}

func TestFingerprintFollowsSettingsAndSecrets(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "s")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	print := func(args ...string) string {
		c, err := loaded(t, args, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return c.targets[0].fingerprint(c.listen[0])
	}
	write("one")
	target := "a?proxy-password-file=" + secret
	first := print(target)
	if print(target) != first || print(target, "--log-level", "debug") != first || print(target, "b") != first {
		t.Error("the same target has another fingerprint")
	}
	if print(target, "--max-clients", "5") == first {
		t.Error("another setting has the same fingerprint")
	}
	write("two")
	if print(target) == first {
		t.Error("another password has the same fingerprint")
	}
}
