package main

import (
	"runtime/debug"
	"testing"
)

func TestResolveBuild(t *testing.T) {
	info := func(version string, settings ...string) *debug.BuildInfo {
		i := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for n := 0; n < len(settings); n += 2 {
			i.Settings = append(i.Settings, debug.BuildSetting{Key: settings[n], Value: settings[n+1]})
		}
		return i
	}
	for _, tc := range []struct {
		name, linked    string
		info            *debug.BuildInfo
		version, commit string
	}{
		{"linked wins", "v1.2.3", info("v0.0.0-dev", "vcs.revision", "abc"), "v1.2.3", "abc"},
		{"module", "", info("v0.4.0"), "v0.4.0", ""},
		{"modified", "", info("(devel)", "vcs.revision", "abc", "vcs.modified", "true"), "(devel)", "abc (modified)"},
		{"clean", "", info("(devel)", "vcs.revision", "abc", "vcs.modified", "false"), "(devel)", "abc"},
		{"no information", "", nil, "(devel)", ""},
	} {
		got := resolveBuild(tc.linked, tc.info)
		if got.version != tc.version || got.commit != tc.commit {
			t.Errorf("%s: got %q %q, want %q %q", tc.name, got.version, got.commit, tc.version, tc.commit)
		}
	}
}
