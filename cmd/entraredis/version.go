package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set at link time by a release: -ldflags "-X main.version=v1.2.3".
var version string

type build struct{ version, commit, goVersion string }

func readBuild() build {
	info, _ := debug.ReadBuildInfo()
	return resolveBuild(version, info)
}

// resolveBuild prefers the linked version, then the module version that go
// install and go build record.
func resolveBuild(linked string, info *debug.BuildInfo) build {
	b := build{version: linked, goVersion: runtime.Version()}
	if info != nil {
		if b.version == "" && info.Main.Version != "" {
			b.version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				b.commit = s.Value + b.commit
			case s.Key == "vcs.modified" && s.Value == "true":
				b.commit += " (modified)"
			}
		}
	}
	if b.version == "" {
		b.version = "(devel)"
	}
	return b
}

func versionCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release it was built with",
		Example: "  entraredis version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			fmt.Fprintf(s.out, "entraredis %s %s %s/%s\n", b.version, b.goVersion, runtime.GOOS, runtime.GOARCH)
			if b.commit != "" {
				fmt.Fprintf(s.out, "commit %s\n", b.commit)
			}
			return nil
		},
	}
}
