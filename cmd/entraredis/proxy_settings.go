package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/config"
	"github.com/entraredis/entraredis/internal/daemon"
)

// loader puts the layers of settings together: the command line and the
// variables, which stay, and the file, which may change.
type loader struct {
	streams
	flags *pflag.FlagSet // of the command, with variables applied
	args  []string       // targets
	file  string         // "" = none
}

// configuration is what came out.
type configuration struct {
	process      *processOptions
	processFlags *pflag.FlagSet
	allowRemote  bool
	targets      []*target
	listen       [][]daemon.Listen // by target
	files        []string          // whose change makes another configuration
}

// load reads everything. An error is a *usageError: what depends on the state
// of the machine, such as an address in use, is found out by who uses it.
func (l loader) load() (*configuration, error) {
	file := &config.File{}
	c := &configuration{process: newProcessOptions()}
	if l.file != "" {
		c.files = append(c.files, l.file)
		var err error
		if file, err = readConfig(l.flags, l.file); err != nil {
			return nil, err
		}
	}
	entries := file.Targets
	if len(l.args) > 0 {
		entries = nil
		for _, arg := range l.args {
			t, err := config.ParseTarget(arg)
			if err != nil {
				return nil, &usageError{err: err, hint: "for example: entraredis proxy 'example.redis.cache.windows.net?listen=127.0.0.1:6380'"}
			}
			entries = append(entries, t)
		}
	}
	if len(entries) == 0 {
		return nil, errNoTarget()
	}
	c.processFlags = pflag.NewFlagSet("process", pflag.ContinueOnError)
	c.process.register(c.processFlags)
	forAll := newTargetOptions()
	forAllFlags := flagsOf(forAll)
	if err := known(file.Settings, c.processFlags, forAllFlags); err != nil {
		return nil, err
	}
	if err := layer(c.processFlags, l.flags, nil, file.Settings, false); err != nil {
		return nil, err
	}
	if err := layer(forAllFlags, l.flags, nil, file.Settings, true); err != nil {
		return nil, err
	}
	c.allowRemote = forAll.allowRemote
	if err := checkAdmin(c.processFlags, c.process.admin, c.allowRemote); err != nil {
		return nil, err
	}
	return c, l.loadTargets(c, entries, file.Settings)
}

func flagsOf(o *targetOptions) *pflag.FlagSet {
	f := pflag.NewFlagSet("target", pflag.ContinueOnError)
	f.SortFlags = false
	o.registerLocal(f)
	o.cacheOptions.register(f)
	return f
}

func (l loader) loadTargets(c *configuration, entries []config.Target, top []config.Setting) error {
	for _, name := range []string{"name", "unix"} {
		if _, atTop := settingOf(top, name); len(entries) > 1 && (l.flags.Changed(name) || atTop) {
			return &usageError{err: fmt.Errorf("%s is for one target", origin(l.flags, name)), hint: "write it into the target: HOST?" + name + "=..."}
		}
	}
	names, taken := map[string]bool{}, map[string]string{}
	for i, entry := range entries {
		t := &target{targetOptions: newTargetOptions(), place: entry.Place}
		t.flags = flagsOf(t.targetOptions)
		if err := known(entry.Settings, t.flags); err != nil {
			if e := known(entry.Settings, c.processFlags, t.flags); e == nil {
				err = &usageError{err: errors.New(err.Error() + " for a target, but for the process"), hint: "give it as a flag, or at the top of the file"}
			}
			return err
		}
		own, fromFile := entry.Settings, []config.Setting(nil)
		if len(l.args) == 0 {
			own, fromFile = nil, entry.Settings
		}
		if err := layerTarget(t.flags, l.flags, own, fromFile, top, len(entries) > 1); err != nil {
			return err
		}
		var err error
		if t.addr, err = entryAddr(entry); err != nil {
			return err
		}
		if err := t.nameIt(names); err != nil {
			return err
		}
		if (t.tlsCert == "") != (t.tlsKey == "") {
			return &usageError{err: fmt.Errorf("target %s: --tls-cert and --tls-key need each other", t.name)}
		}
		listen, err := t.listeners(l.streams, i)
		if err != nil {
			return err
		}
		for _, at := range listen {
			if other, ok := taken[at.Address]; ok && !strings.HasSuffix(at.Address, ":0") {
				return &usageError{err: fmt.Errorf("targets %s and %s both listen on %s", other, t.name, at.Address), hint: "give each its own --listen or --unix"}
			}
			taken[at.Address] = t.name
		}
		c.targets, c.listen = append(c.targets, t), append(c.listen, listen)
		c.files = append(c.files, t.secretFiles()...)
	}
	return nil
}

// known complains about a setting that none of the sets has a flag for.
func known(settings []config.Setting, sets ...*pflag.FlagSet) error {
next:
	for _, s := range settings {
		for _, set := range sets {
			if set.Lookup(s.Name) != nil {
				continue next
			}
		}
		hint := "see 'entraredis proxy --help' for the names"
		for _, set := range sets {
			if set.Lookup(s.Name+"-file") != nil {
				hint = "a secret stands in a file of its own (" + s.Name + "-file) or in " + envName(s.Name)
			}
		}
		return &usageError{err: fmt.Errorf("%s: there is no setting %q", s.Place, s.Name), hint: hint}
	}
	return nil
}

// layer gives each flag of into the value of the highest layer that has one:
// the target's own, the command line or its variable, the file.
func layer(into, given *pflag.FlagSet, own, file []config.Setting, many bool) error {
	return layerTarget(into, given, own, nil, file, many)
}

func layerTarget(into, given *pflag.FlagSet, own, entry, top []config.Setting, many bool) error {
	var first error
	into.VisitAll(func(f *pflag.Flag) {
		if first != nil {
			return
		}
		value, where, all, ok := "", "", false, false
		take := func(settings []config.Setting, isShared bool) {
			if s, there := settingOf(settings, f.Name); there && !ok {
				value, where, all, ok = s.Value, s.Place, isShared, true
			}
		}
		take(own, false)
		if g := given.Lookup(f.Name); !ok && g != nil && g.Changed {
			_, env := g.Annotations[shared]
			value, where, all, ok = textOf(g), origin(given, f.Name), env || many, true
		}
		take(entry, false)
		take(top, true)
		if ok {
			first = put(into, f.Name, value, where, all)
		}
	})
	return first
}

// textOf is a flag's value in the form that Set takes.
func textOf(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// nameIt gives the target its name, if it has none: the host's first label.
func (t *target) nameIt(taken map[string]bool) error {
	if t.name == "" {
		host, _, _ := net.SplitHostPort(t.addr)
		t.name = t.addr
		if _, err := netip.ParseAddr(host); err != nil {
			t.name, _, _ = strings.Cut(host, ".")
		}
		for base, n := t.name, 2; taken[t.name]; n++ {
			t.name = fmt.Sprintf("%s-%d", base, n)
		}
	}
	if taken[t.name] {
		return &usageError{err: fmt.Errorf("%s: another target is named %q", origin(t.flags, "name"), t.name)}
	}
	taken[t.name] = true
	return nil
}

func checkAdmin(flags *pflag.FlagSet, addr string, allowRemote bool) error {
	if addr == adminOff {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return &usageError{err: fmt.Errorf("%s: %q is not host:port", origin(flags, "admin"), addr), hint: "for example " + defaultAdmin + ", or off"}
	}
	if !allowRemote && !isLoopback(host) {
		return &usageError{err: fmt.Errorf("%s: %s can be reached from other machines, which would see identities and may be allowed to end the program", origin(flags, "admin"), addr),
			hint: "use a loopback address, or say --allow-remote if the network keeps others out"}
	}
	return nil
}

const adminOff = "off"

// daemonTargets are the targets in the form that runs.
func (c *configuration) daemonTargets(s streams, log *slog.Logger) []daemon.Target {
	var all []daemon.Target
	for i, t := range c.targets {
		all = append(all, daemon.Target{
			Name: t.name, Addr: t.addr, Credential: t.kind.value, Listen: c.listen[i], Fingerprint: t.fingerprint(c.listen[i]),
			Open: func(onEvent func(entraredis.Event)) (*daemon.Upstream, error) {
				return t.open(s, log.With("target", t.name), onEvent)
			},
		})
	}
	return all
}

// fingerprint changes with every setting of the target, and with the files they
// name.
func (t *target) fingerprint(listen []daemon.Listen) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", t.name, t.addr, fmt.Sprint(listen))
	t.flags.VisitAll(func(f *pflag.Flag) { fmt.Fprintf(h, "%q %q\n", f.Name, f.Value.String()) })
	for _, path := range t.secretFiles() {
		fmt.Fprintf(h, "%q\n", readOrWhy(path))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// changed lists the settings, the log level apart, that are not as they were.
func changed(old, now *pflag.FlagSet) (names []string) {
	now.VisitAll(func(f *pflag.Flag) {
		if f.Name != "log-level" && old.Lookup(f.Name).Value.String() != f.Value.String() {
			names = append(names, f.Name)
		}
	})
	return names
}
