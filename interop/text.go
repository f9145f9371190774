package main

import (
	"fmt"
	"strings"
)

// text is a reply as the clients return it, in one form.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v)
}

// anys is a command for clients that take arguments of any type.
func anys(command []string) []any {
	args := make([]any, len(command))
	for i, a := range command {
		args[i] = a
	}
	return args
}
