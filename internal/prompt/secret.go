package prompt

import (
	"slices"
	"strings"
)

// Secret reports whether a command may hold a secret, so that it must be
// remembered nowhere.
func Secret(args []string) bool {
	if len(args) == 0 {
		return false
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(args[1:], func(arg string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(arg, w) })
		})
	}
	switch strings.ToUpper(args[0]) {
	case "AUTH":
		return true
	case "HELLO":
		return has("AUTH")
	case "MIGRATE":
		return has("AUTH", "AUTH2")
	case "ACL":
		return has("SETUSER")
	case "CONFIG":
		return has("SET") && slices.ContainsFunc(args, func(arg string) bool {
			arg = strings.ToLower(arg)
			return arg == "requirepass" || arg == "masterauth" || arg == "primaryauth" || strings.Contains(arg, "-pass")
		})
	case "SENTINEL":
		return has("SET", "CONFIG")
	}
	return false
}
