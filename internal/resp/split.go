package resp

// SplitLine splits a line into arguments by the quoting rules of an inline
// command, which are redis-cli's too: words between blanks, "double quotes"
// with escapes, 'single quotes' with \' only. It reports false for unbalanced
// quotes, which include a closing quote that is not followed by a blank. The
// arguments are copies.
func SplitLine(line []byte) (args [][]byte, ok bool) { return splitInline(line) }
