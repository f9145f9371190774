package prompt

import (
	"bytes"
	"fmt"
	"strconv"
)

// Value is one reply. Type is its first byte in RESP ('+', '-', ':', '$', '*',
// '_', '#', ',', '(', '!', '=', '%', '~', '>'); the nulls of RESP2 are '_' too.
type Value struct {
	Type  byte
	Text  []byte  // of all that is not an aggregate
	Elems []Value // of an aggregate; of a map keys and values in turn
}

// IsError reports whether the reply is an error.
func (v Value) IsError() bool { return v.Type == '-' || v.Type == '!' }

// IsPush reports whether the reply is out of turn: a message, or the
// confirmation of a subscription, of RESP3.
func (v Value) IsPush() bool { return v.Type == '>' }

func (v Value) is(text string) bool { return v.Type == '+' && string(v.Text) == text }

// aggregate reports whether the value consists of others.
func (v Value) aggregate() bool { return bytes.IndexByte([]byte("*%~>"), v.Type) >= 0 }

// Parse reads one whole frame, as resp.Reader returns it. Attributes are left
// out. The value does not share memory with the frame.
func Parse(frame []byte) (Value, error) {
	p := parser{rest: bytes.Clone(frame)}
	v, err := p.value()
	if err == nil && len(p.rest) > 0 {
		err = fmt.Errorf("%d bytes behind the reply", len(p.rest))
	}
	return v, err
}

type parser struct{ rest []byte }

// line cuts the next line off and returns its type byte and text.
func (p *parser) line() (kind byte, text []byte, err error) {
	line, rest, ok := bytes.Cut(p.rest, []byte("\r\n"))
	if !ok || len(line) == 0 {
		return 0, nil, fmt.Errorf("reply is cut short")
	}
	p.rest = rest
	return line[0], line[1:], nil
}

func (p *parser) value() (Value, error) {
	kind, text, err := p.line()
	if err != nil {
		return Value{}, err
	}
	switch kind {
	case '+', '-', ':', '#', ',', '(':
		return Value{Type: kind, Text: text}, nil
	case '_':
		return Value{Type: '_'}, nil
	case '$', '=', '!':
		return p.bulk(kind, text)
	case '*', '%', '~', '>', '|':
		v, err := p.aggregate(kind, text)
		if err != nil || kind != '|' {
			return v, err
		}
		return p.value()
	}
	return Value{}, fmt.Errorf("reply of unknown type %q", kind)
}

func (p *parser) bulk(kind byte, size []byte) (Value, error) {
	if string(size) == "?" {
		return p.chunks(kind)
	}
	text, null, err := p.payload(size)
	if null {
		kind = '_'
	}
	if kind == '=' && len(text) > 4 {
		text = text[4:] // "txt:" or "mkd:"
	}
	return Value{Type: kind, Text: text}, err
}

func (p *parser) payload(size []byte) (text []byte, null bool, err error) {
	n, err := strconv.Atoi(string(size))
	if err == nil && n < 0 {
		return nil, true, nil
	}
	if err != nil || n > len(p.rest)-2 {
		return nil, false, fmt.Errorf("reply of bad length %q", size)
	}
	text, p.rest = p.rest[:n:n], p.rest[n+2:]
	return text, false, nil
}

// chunks reads a streamed string up to its empty chunk.
func (p *parser) chunks(kind byte) (Value, error) {
	var all []byte
	for {
		mark, size, err := p.line()
		if err != nil || mark != ';' {
			return Value{}, fmt.Errorf("streamed string without its end")
		}
		if string(size) == "0" {
			return Value{Type: kind, Text: all}, nil
		}
		text, _, err := p.payload(size)
		if err != nil {
			return Value{}, err
		}
		all = append(all, text...)
	}
}

func (p *parser) aggregate(kind byte, size []byte) (Value, error) {
	v := Value{Type: kind}
	if string(size) == "?" {
		for !bytes.HasPrefix(p.rest, []byte(".\r\n")) {
			elem, err := p.value()
			if err != nil {
				return v, err
			}
			v.Elems = append(v.Elems, elem)
		}
		p.rest = p.rest[3:]
		return v, nil
	}
	n, err := strconv.Atoi(string(size))
	if err != nil {
		return v, fmt.Errorf("reply of bad length %q", size)
	}
	if n < 0 {
		return Value{Type: '_'}, nil
	}
	if kind == '%' || kind == '|' {
		n *= 2
	}
	for range n {
		elem, err := p.value()
		if err != nil {
			return v, err
		}
		v.Elems = append(v.Elems, elem)
	}
	return v, nil
}
