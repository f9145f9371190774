// Command gen writes valkey.go from rueidis.go: valkey-go is rueidis under other names.
package main

import (
	"fmt"
	"os"

	"github.com/entraredis/entraredis/interop/gen/rename"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen: error:", err)
		os.Exit(1)
	}
}

func run() error {
	source, err := os.ReadFile("rueidis.go")
	if err != nil {
		return err
	}
	return os.WriteFile("valkey.go", rename.Valkey(source), 0o644)
}
