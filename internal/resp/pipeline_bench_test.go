package resp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/entraredis/entraredis/internal/resp"
)

// BenchmarkPipelines is the time for one of 64 commands or replies, of one length or
// of several.
func BenchmarkPipelines(b *testing.B) {
	const depth = 64
	longer := func(i int) string { return strings.Repeat("v", i%7) }
	for _, c := range []struct {
		name    string
		command func(i int) []string
	}{
		{"GET", func(i int) []string { return []string{"GET", fmt.Sprintf("key:%012d", i)} }},
		{"SET", func(i int) []string { return []string{"SET", fmt.Sprintf("key:%012d", i), "xxx"} }},
		{"SET-lengths", func(i int) []string { return []string{"SET", fmt.Sprintf("key:%012d", i), longer(i)} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			first, all := 0, []byte(nil)
			for i := range depth {
				all = resp.AppendCommand(all, c.command(i)...)
				if i == 0 {
					first = len(all)
				}
			}
			var s resp.Requests
			for i := 0; i < b.N; i += depth {
				s.Next(all)
				if n, _ := s.Run(all[:first], all[first:], 1<<20); n != len(all)-first {
					b.Fatalf("%d of %d bytes", n, len(all)-first)
				}
			}
		})
	}
	for name, reply := range map[string]func(i int) string{
		"OK":       func(int) string { return "+OK\r\n" },
		"bulk":     func(i int) string { return fmt.Sprintf("$3\r\n%03d\r\n", i) },
		"lengths":  func(i int) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(longer(i)), longer(i)) },
		"integers": func(i int) string { return fmt.Sprintf(":%d\r\n", i) },
	} {
		b.Run(name, func(b *testing.B) {
			var all []byte
			for i := range depth {
				all = append(all, reply(i)...)
			}
			var s resp.Replies
			for i := 0; i < b.N; i += depth {
				if n, _ := s.Run(all, depth, 1<<20); n != len(all) {
					b.Fatalf("%d of %d bytes", n, len(all))
				}
			}
		})
	}
}
