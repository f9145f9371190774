package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/internal/config"
)

const configFlag = "config"

func readConfig(flags *pflag.FlagSet, path string) (*config.File, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		var file *config.File
		if file, err = config.ParseFile(filepath.Base(path), data); err == nil {
			return file, nil
		}
	}
	return nil, &usageError{err: fmt.Errorf("%s: %w", origin(flags, configFlag), err), hint: "docs/proxy.md shows the file's form"}
}

// useConfig gives the flags that nothing else has set the values of the proxy's
// file: the target's that wanted names, then those for all targets. What the
// command has no flag for is the proxy's. A target without a place is not in
// the file.
func useConfig(flags *pflag.FlagSet, path, wanted string) (config.Target, error) {
	file, err := readConfig(flags, path)
	if err != nil {
		return config.Target{}, err
	}
	process, ofTarget := pflag.NewFlagSet("process", pflag.ContinueOnError), flagsOf(newTargetOptions())
	newProcessOptions().register(process)
	if err := known(file.Settings, process, ofTarget); err != nil {
		return config.Target{}, err
	}
	entry, err := entryOf(file.Targets, wanted)
	if err != nil {
		return config.Target{}, err
	}
	if err := known(entry.Settings, ofTarget); err != nil {
		return config.Target{}, err
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || ofTarget.Lookup(f.Name) == nil {
			return
		}
		if s, ok := settingOf(entry.Settings, f.Name); ok {
			err = put(flags, f.Name, s.Value, s.Place, false)
		} else if s, ok := settingOf(file.Settings, f.Name); ok {
			err = put(flags, f.Name, s.Value, s.Place, true)
		}
	})
	return entry, err
}

// entryOf finds a target by the name it has in the proxy's logs, or by its
// address.
func entryOf(targets []config.Target, wanted string) (config.Target, error) {
	names := map[string]bool{}
	var found []config.Target
	var foundNames []string
	for _, entry := range targets {
		t := &target{targetOptions: newTargetOptions(), place: entry.Place}
		t.flags = flagsOf(t.targetOptions)
		name, _ := settingOf(entry.Settings, "name")
		t.name = name.Value
		var err error
		if t.addr, err = entryAddr(entry); err != nil {
			return config.Target{}, err
		}
		if err := t.nameIt(names); err != nil {
			return config.Target{}, err
		}
		host, _, _ := net.SplitHostPort(t.addr)
		switch wanted {
		case t.name:
			return entry, nil
		case entry.Addr, t.addr, host:
			found, foundNames = append(found, entry), append(foundNames, t.name)
		}
	}
	switch len(found) {
	case 0:
		return config.Target{Addr: wanted}, nil
	case 1:
		return found[0], nil
	}
	return config.Target{}, &usageError{
		err:  fmt.Errorf("the file has %d targets at %s", len(found), wanted),
		hint: "give the name of one: " + strings.Join(foundNames, ", "),
	}
}

func settingOf(settings []config.Setting, name string) (config.Setting, bool) {
	for _, s := range settings {
		if s.Name == name {
			return s, true
		}
	}
	return config.Setting{}, false
}

// put sets a flag from where, which messages name; all says that the value is
// not meant for this one job.
func put(flags *pflag.FlagSet, name, value, where string, all bool) error {
	if err := flags.Set(name, value); err != nil {
		// pflag's message names a flag; the value may stand anywhere.
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return &usageError{err: fmt.Errorf("%s: invalid value %q for %s: %w", where, value, name, err), hint: "see 'entraredis proxy --help'"}
	}
	_ = flags.SetAnnotation(name, place, []string{where})
	if all {
		_ = flags.SetAnnotation(name, shared, nil)
	}
	return nil
}

// entryAddr completes the address of a target.
func entryAddr(entry config.Target) (string, error) {
	addr, err := doctor.TargetAddr(entry.Addr)
	if err != nil {
		return "", &usageError{err: fmt.Errorf("%s: %w", entry.Place, err), hint: "for example: example.redis.cache.windows.net"}
	}
	return addr, nil
}
