package prompt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// JSON writes a reply as one line of JSON: arrays, sets and pushes as arrays,
// maps as objects, numbers as numbers, an error as {"error": "..."}. Bytes that
// are not UTF-8, which JSON cannot hold, are written \xHH, with a backslash of
// their own. It ends with a newline.
func JSON(v Value) []byte {
	return append(appendJSON(nil, v), '\n')
}

func appendJSON(b []byte, v Value) []byte {
	switch v.Type {
	case '_':
		return append(b, "null"...)
	case '#':
		return append(b, boolName(v)...)
	case ':', '(', ',':
		if json.Valid(v.Text) {
			return append(b, v.Text...)
		}
		return appendString(b, v.Text) // inf, nan
	case '-', '!':
		b = append(b, `{"error":`...)
		return append(appendString(b, v.Text), '}')
	case '%':
		b = append(b, '{')
		for i := 0; i+1 < len(v.Elems); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, keyText(v.Elems[i])), ':')
			b = appendJSON(b, v.Elems[i+1])
		}
		return append(b, '}')
	case '*', '~', '>':
		b = append(b, '[')
		for i, elem := range v.Elems {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, elem)
		}
		return append(b, ']')
	}
	return appendString(b, v.Text)
}

// keyText is a map's key as a string, which is all that JSON has for it.
func keyText(key Value) []byte {
	if key.aggregate() || key.Type == '#' {
		return appendJSON(nil, key)
	}
	return raw(nil, key)
}

func appendString(b, s []byte) []byte {
	var text strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&text, `\x%02x`, s[0])
		} else {
			text.Write(s[:size])
		}
		s = s[size:]
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // for people as well
	if err := enc.Encode(text.String()); err != nil {
		return append(b, `""`...) // a string always encodes
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
