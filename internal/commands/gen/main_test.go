package main

import (
	"bytes"
	"os"
	"testing"
)

// The committed table is that of the server at hand, if it is of the same
// version.
func TestTableIsCurrent(t *testing.T) {
	server := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if server == "" {
		t.Skip("ENTRAREDIS_REDIS_SERVER names no server")
	}
	got, err := Table(server)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../table.go")
	if err != nil {
		t.Fatal(err)
	}
	version := func(b []byte) string { line, _, _ := bytes.Cut(b, []byte("\n")); return string(line) }
	if version(got) != version(want) {
		t.Skipf("the server's table begins %q, the committed one %q", version(got), version(want))
	}
	if !bytes.Equal(got, want) {
		t.Error("go generate ./internal/commands changes table.go")
	}
}
