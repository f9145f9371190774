package credential

import (
	"strconv"
	"strings"
	"unicode"
)

// SettingError says that a setting is missing, contradicts another one, or
// cannot be used. It is the configuration's fault: trying again without a
// change gives the same error.
type SettingError struct {
	// Setting is the field of Settings at fault, "Kind" for the kind itself,
	// or an environment variable such as "AZURE_TENANT_ID".
	Setting string
	// Kind is the kind of credential that was asked for; empty if that is
	// what is wrong.
	Kind Kind
	// Problem says what is wrong, as a predicate of the setting: "is not set".
	Problem string
	// Remedy says what to do about it, as an imperative.
	Remedy string
	// Unused reports that the setting is fine in itself, but the kind has no
	// use for it. A program whose settings serve several kinds, such as those
	// of environment variables, may clear it and try again.
	Unused bool
	// Err is the cause if there is one, such as a file that cannot be read.
	Err error
}

// Error names the setting, the problem and the remedy. It never contains the
// value of a secret.
func (e *SettingError) Error() string {
	var b strings.Builder
	if e.Kind != "" {
		b.WriteString(string(e.Kind) + " credential: ")
	}
	b.WriteString(e.Setting + " " + e.Problem)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString(" (" + e.Remedy + ")")
	}
	return b.String()
}

// Unwrap returns the cause, or nil.
func (e *SettingError) Unwrap() error { return e.Err }

// Flag returns the setting's name in the form of a command-line flag without
// dashes: "client-secret" for ClientSecret, "ca-file" for CAFile. It is
// stable, and empty when the setting is an environment variable.
func (e *SettingError) Flag() string { return FlagName(e.Setting) }

// FlagName returns the name that a command line gives to a field of Settings,
// as [SettingError.Flag] does.
func FlagName(setting string) string {
	if strings.Contains(setting, "_") {
		return ""
	}
	var b strings.Builder
	runes := []rune(setting)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			wordEnds := unicode.IsLower(runes[i-1])
			acronymEnds := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if wordEnds || acronymEnds {
				b.WriteByte('-')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func quoted(s string) string { return strconv.Quote(s) }

// suggest returns "did you mean ...? " for the candidate nearest to given, or
// "" if none is near.
func suggest(given string, candidates []string) string {
	given = strings.ToLower(given)
	best, bestDistance := "", len(given)/2+1
	for _, c := range candidates {
		d := distance(given, c)
		if len(given) > 2 && (strings.Contains(given, c) || strings.Contains(c, given)) {
			d = 0
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + quoted(best) + "? "
}

// distance is the Levenshtein distance between a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
