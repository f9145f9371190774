// Package rename turns a program on rueidis into the same one on valkey-go.
package rename

import (
	"bytes"
	"strings"
)

// header marks what is generated, for tools and readers.
const header = "// Code generated from rueidis.go by gen; DO NOT EDIT.\n\n"

// Valkey returns the source with rueidis's names replaced by those of its fork.
func Valkey(source []byte) []byte {
	source = bytes.Replace(source, []byte("//go:generate go run ./gen\n\n"), nil, 1)
	return []byte(header + strings.NewReplacer(
		"github.com/redis/rueidis", "github.com/valkey-io/valkey-go",
		"IsRedisNil", "IsValkeyNil",
		"RedisResult", "ValkeyResult",
		"rueidis", "valkey",
		"Rueidis", "Valkey",
	).Replace(string(source)))
}
