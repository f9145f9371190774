package prompt

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Human writes a reply as redis-cli does in a terminal: types told apart,
// strings quoted, elements numbered. It ends with a newline.
func Human(v Value) string {
	var b strings.Builder
	human(&b, v, "")
	return b.String()
}

var emptyNames = map[byte]string{'*': "(empty array)", '%': "(empty hash)", '~': "(empty set)", '>': "(empty push)"}

func human(b *strings.Builder, v Value, indent string) {
	switch {
	case v.aggregate() && len(v.Elems) == 0:
		b.WriteString(emptyNames[v.Type] + "\n")
	case v.aggregate():
		humanElems(b, v, indent)
	case v.IsError():
		fmt.Fprintf(b, "(error) %s\n", v.Text)
	case v.Type == ':':
		fmt.Fprintf(b, "(integer) %s\n", v.Text)
	case v.Type == ',':
		fmt.Fprintf(b, "(double) %s\n", v.Text)
	case v.Type == '_':
		b.WriteString("(nil)\n")
	case v.Type == '#':
		fmt.Fprintf(b, "(%s)\n", boolName(v))
	case v.Type == '$':
		b.WriteString(Quote(v.Text) + "\n")
	default: // a status, a big number, or text that is meant to be read as it is
		fmt.Fprintf(b, "%s\n", v.Text)
	}
}

// humanElems numbers the elements. The first stands behind the number of the
// aggregate itself, the others below it.
func humanElems(b *strings.Builder, v Value, indent string) {
	step, mark := 1, byte(')')
	switch v.Type {
	case '%':
		step, mark = 2, '#'
	case '~':
		mark = '~'
	}
	width := len(strconv.Itoa(len(v.Elems) / step))
	inner := indent + strings.Repeat(" ", width+2)
	for i := 0; i+step <= len(v.Elems); i += step {
		if i > 0 {
			b.WriteString(indent)
		}
		fmt.Fprintf(b, "%*d%c ", width, i/step+1, mark)
		if step == 1 {
			human(b, v.Elems[i], inner)
			continue
		}
		var key strings.Builder
		human(&key, v.Elems[i], inner)
		b.WriteString(strings.TrimSuffix(key.String(), "\n") + " => ")
		var value strings.Builder
		human(&value, v.Elems[i+1], inner)
		if v.Elems[i+1].aggregate() && strings.Count(value.String(), "\n") > 1 {
			b.WriteString("\n" + inner)
		}
		b.WriteString(value.String())
	}
}

// Raw writes a reply as redis-cli does for scripts: the texts alone, an element
// a line, map values behind their keys. It ends with a newline.
func Raw(v Value) []byte { return append(raw(nil, v), '\n') }

func raw(b []byte, v Value) []byte {
	switch {
	case v.Type == '#':
		return append(b, "("+boolName(v)+")"...)
	case !v.aggregate():
		return append(b, v.Text...)
	}
	for i, elem := range v.Elems {
		switch {
		case i > 0 && v.Type == '%' && i%2 == 1:
			b = append(b, ' ')
		case i > 0:
			b = append(b, '\n')
		}
		b = raw(b, elem)
	}
	return b
}

func boolName(v Value) string {
	if string(v.Text) == "t" {
		return "true"
	}
	return "false"
}

// Quote writes a string in double quotes with the escapes that SplitLine (and
// redis-cli) undo: printable ASCII is as it is, other bytes are \xHH.
func Quote(s []byte) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, c := range s {
		switch c {
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\a':
			b.WriteString(`\a`)
		case '\b':
			b.WriteString(`\b`)
		default:
			if c >= ' ' && c <= '~' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
