package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// indent is where the lines below a result's first begin.
const indent = "         "

// Style is how results are written. The zero value is for a log.
type Style struct {
	// Verbose writes the facts of every check, not only of those with findings.
	Verbose bool
	// Width is where long lines are broken, in columns; 0 = nowhere, so that
	// a log has one line for each thing said.
	Width int
	// Paint colours the word that names a status; nil = no colour.
	Paint func(s Status, word string) string
}

// Write writes one result as lines.
func (r *Result) Write(w io.Writer, style Style) error {
	word := string(r.Status)
	if r.Status == Failed {
		word = "FAILED" // to be found in a long log
	}
	padded := fmt.Sprintf("%-*s", len(indent), word)
	if style.Paint != nil {
		padded = style.Paint(r.Status, word) + strings.Repeat(" ", max(0, len(indent)-len(word)))
	}
	var b strings.Builder
	b.WriteString(padded)
	b.WriteString(wrap(fmt.Sprintf("%-12s %s", r.Check, r.Summary), style.Width-len(indent), indent+strings.Repeat(" ", 13)))
	b.WriteString("\n")
	line := func(name, text string) {
		const column = 10
		b.WriteString(indent)
		b.WriteString(wrap(fmt.Sprintf("%-*s%s", column, name, text), style.Width-len(indent), indent+strings.Repeat(" ", column)))
		b.WriteString("\n")
	}
	for _, f := range r.Findings {
		if len(r.Findings) > 1 || f.Status != r.Status {
			line(string(f.Status), "")
		}
		line("observed", f.Observed)
		line("means", f.Means)
		line("change", f.Remedy)
		line("see", f.Anchor)
	}
	if style.Verbose || len(r.Findings) > 0 {
		for _, f := range r.Facts {
			line("-", f.Name+": "+f.Value)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Conclusion is the last line: what came out, in a sentence.
func (r *Report) Conclusion() string {
	count := map[Status]int{}
	for _, c := range r.Checks {
		count[c.Status]++
	}
	switch {
	case r.FirstFailure != "":
		return fmt.Sprintf("%s: the first check that fails is %s; mend that and run again", r.Target, r.FirstFailure)
	case count[Skipped] > 0:
		return fmt.Sprintf("%s: not finished, %s", r.Target, plural(count[Skipped], "check was", "checks were")+" skipped")
	case count[Warning] > 0:
		return fmt.Sprintf("%s: works, with %s", r.Target, plural(count[Warning], "warning", "warnings"))
	}
	return fmt.Sprintf("%s: all %d checks are ok", r.Target, len(r.Checks))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// wrap breaks text at spaces so that no line is longer than width, unless a
// word is; the lines behind the first begin with the indent.
func wrap(text string, width int, indent string) string {
	if width <= 20 || utf8.RuneCountInString(text) <= width {
		return text
	}
	room := width
	var b strings.Builder
	column := 0
	for i, word := range strings.SplitAfter(text, " ") {
		n := utf8.RuneCountInString(strings.TrimRight(word, " "))
		if i > 0 && column+n > room {
			b.WriteString("\n" + indent)
			// The indent counts against lines but the first.
			room, column = max(20, width-len(indent)+len("         ")), 0
		}
		b.WriteString(word)
		column += utf8.RuneCountInString(word)
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
