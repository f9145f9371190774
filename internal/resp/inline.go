package resp

// splitInline splits an inline command into its arguments as Redis does
// (sds.c, sdssplitargs): words between blanks, "double quotes" with escapes,
// 'single quotes' with \' only. It reports false for unbalanced quotes, which
// include a closing quote that is not followed by a blank.
func splitInline(line []byte) (args [][]byte, ok bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return args, true
		}
		var arg []byte
		if arg, i, ok = inlineWord(line, i); !ok {
			return nil, false
		}
		args = append(args, arg)
	}
}

func inlineWord(line []byte, i int) (arg []byte, next int, ok bool) {
	arg = []byte{}
	for i < len(line) {
		switch c := line[i]; {
		case endsWord(c):
			return arg, i, true
		case c == '"' || c == '\'':
			if arg, i, ok = inlineQuoted(line, i+1, c, arg); !ok {
				return nil, 0, false
			}
			if i < len(line) && !isSpace(line[i]) {
				return nil, 0, false
			}
			return arg, i, true
		default:
			arg = append(arg, c)
			i++
		}
	}
	return arg, i, true
}

// inlineQuoted reads up to the closing quote and returns what follows it.
func inlineQuoted(line []byte, i int, quote byte, arg []byte) (_ []byte, next int, ok bool) {
	for i < len(line) {
		c := line[i]
		switch {
		case c == quote:
			return arg, i + 1, true
		case quote == '\'' && c == '\\' && i+1 < len(line) && line[i+1] == '\'':
			arg = append(arg, '\'')
			i += 2
		case quote == '"' && c == '\\' && i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]):
			arg = append(arg, unhex(line[i+2])<<4|unhex(line[i+3]))
			i += 4
		case quote == '"' && c == '\\' && i+1 < len(line):
			arg = append(arg, unescape(line[i+1]))
			i += 2
		default:
			arg = append(arg, c)
			i++
		}
	}
	return nil, 0, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// endsWord holds fewer bytes than isSpace: Redis has two lists.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
