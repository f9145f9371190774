package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const envPrefix = "ENTRAREDIS_"

// Annotations of a flag whose value did not come from the command line.
const (
	// place says where it came from, for messages.
	place = "place"
	// shared marks a value that was not meant for this one job: that the job has
	// no use for it is no mistake.
	shared = "shared"
)

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func documentEnv(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) { f.Usage += " [" + envName(f.Name) + "]" })
}

func documentAllEnv(cmd *cobra.Command) {
	documentEnv(cmd.Flags())
	for _, sub := range cmd.Commands() {
		documentAllEnv(sub)
	}
}

// applyEnv gives each flag that the command line left alone the value of its variable.
func applyEnv(flags *pflag.FlagSet, env func(string) string) error {
	var first error
	flags.VisitAll(func(f *pflag.Flag) {
		value := env(envName(f.Name))
		// Help and version are questions, not settings.
		if f.Changed || value == "" || f.Name == "help" || f.Name == "version" || first != nil {
			return
		}
		if err := f.Value.Set(value); err != nil {
			first = &usageError{
				err:  fmt.Errorf("invalid value %q for %s: %w", value, envName(f.Name), err),
				hint: "unset it, or override it with --" + f.Name,
			}
			return
		}
		f.Changed = true
		_ = flags.SetAnnotation(f.Name, place, []string{envName(f.Name)})
		_ = flags.SetAnnotation(f.Name, shared, nil)
	})
	return first
}

// origin names where a flag's value came from: "--duration",
// "ENTRAREDIS_DURATION" or "proxy.yaml:7".
func origin(flags *pflag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil && len(f.Annotations[place]) > 0 {
		return f.Annotations[place][0]
	}
	return "--" + name
}

// choice is a flag that takes one of a few words.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "word" }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(c.allowed, ", "))
	}
	c.value = s
	return nil
}

// between is a duration flag with bounds, both allowed.
type between struct {
	value    time.Duration
	min, max time.Duration
	step     time.Duration // 0: any
}

func (b *between) String() string { return b.value.String() }
func (b *between) Type() string   { return "duration" }

func (b *between) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("not a duration such as 5s or 1h30m")
	}
	if d < b.min || d > b.max {
		return fmt.Errorf("must be between %s and %s", short(b.min), short(b.max))
	}
	if b.step > 0 && d%b.step != 0 {
		return fmt.Errorf("must be a multiple of %s", short(b.step))
	}
	b.value = d
	return nil
}

// short prints a duration without its zero units: 24h, not 24h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
