package prompt_test

import (
	"testing"

	"github.com/entraredis/entraredis/internal/prompt"
)

var forms = []struct{ name, frame, human, raw, json string }{
	{"status", "+OK\r\n", "OK\n", "OK\n", "\"OK\"\n"},
	{"error", "-ERR no\r\n", "(error) ERR no\n", "ERR no\n", "{\"error\":\"ERR no\"}\n"},
	{"blob error", "!6\r\nERR no\r\n", "(error) ERR no\n", "ERR no\n", "{\"error\":\"ERR no\"}\n"},
	{"integer", ":-12\r\n", "(integer) -12\n", "-12\n", "-12\n"},
	{"string", "$4\r\na\"\n\xff\r\n", `"a\"\n\xff"` + "\n", "a\"\n\xff\n", `"a\"\n\\xff"` + "\n"},
	{"text", "$5\r\ncaf\xc3\xa9\r\n", `"caf\xc3\xa9"` + "\n", "café\n", "\"café\"\n"},
	{"html", "$3\r\n<a>\r\n", "\"<a>\"\n", "<a>\n", "\"<a>\"\n"},
	{"empty string", "$0\r\n\r\n", "\"\"\n", "\n", "\"\"\n"},
	{"null string", "$-1\r\n", "(nil)\n", "\n", "null\n"},
	{"null array", "*-1\r\n", "(nil)\n", "\n", "null\n"},
	{"null", "_\r\n", "(nil)\n", "\n", "null\n"},
	{"true", "#t\r\n", "(true)\n", "(true)\n", "true\n"},
	{"false", "#f\r\n", "(false)\n", "(false)\n", "false\n"},
	{"double", ",1.5\r\n", "(double) 1.5\n", "1.5\n", "1.5\n"},
	{"infinite", ",inf\r\n", "(double) inf\n", "inf\n", "\"inf\"\n"},
	{"big", "(12345678901234567890123\r\n", "12345678901234567890123\n", "12345678901234567890123\n", "12345678901234567890123\n"},
	{"verbatim", "=8\r\ntxt:a\nbc\r\n", "a\nbc\n", "a\nbc\n", "\"a\\nbc\"\n"},
	{"empty array", "*0\r\n", "(empty array)\n", "\n", "[]\n"},
	{"empty map", "%0\r\n", "(empty hash)\n", "\n", "{}\n"},
	{"empty set", "~0\r\n", "(empty set)\n", "\n", "[]\n"},
	{"set", "~2\r\n+a\r\n+b\r\n", "1~ a\n2~ b\n", "a\nb\n", "[\"a\",\"b\"]\n"},
	{"push", ">2\r\n$3\r\nfoo\r\n:1\r\n", "1) \"foo\"\n2) (integer) 1\n", "foo\n1\n", "[\"foo\",1]\n"},
	{"nested", "*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n:3\r\n", "1) 1) (integer) 1\n   2) (integer) 2\n2) 1) (integer) 3\n", "1\n2\n3\n", "[[1,2],[3]]\n"},
	{"map", "%2\r\n$1\r\na\r\n:1\r\n:2\r\n*2\r\n+x\r\n+y\r\n", "1# \"a\" => (integer) 1\n2# (integer) 2 => \n   1) x\n   2) y\n", "a 1\n2 x\ny\n", "{\"a\":1,\"2\":[\"x\",\"y\"]}\n"},
	{"attribute", "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", "\"x\"\n", "x\n", "\"x\"\n"},
	{"streamed string", "$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n", "\"abc\"\n", "abc\n", "\"abc\"\n"},
	{"streamed array", "*?\r\n:1\r\n:2\r\n.\r\n", "1) (integer) 1\n2) (integer) 2\n", "1\n2\n", "[1,2]\n"},
}

func TestForms(t *testing.T) {
	for _, tt := range forms {
		v, err := prompt.Parse([]byte(tt.frame))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for form, texts := range map[string][2]string{
			"human": {prompt.Human(v), tt.human}, "raw": {string(prompt.Raw(v)), tt.raw}, "json": {string(prompt.JSON(v)), tt.json},
		} {
			if texts[0] != texts[1] {
				t.Errorf("%s, %s: got %q, want %q", tt.name, form, texts[0], texts[1])
			}
		}
	}
}

// No prefix of a frame is a frame, and none may panic.
func TestParseRefusesWhatIsCutShort(t *testing.T) {
	for _, tt := range forms {
		for n := range len(tt.frame) {
			if v, err := prompt.Parse([]byte(tt.frame[:n])); err == nil {
				t.Errorf("%s: %q was read as %v", tt.name, tt.frame[:n], v)
			}
		}
		if _, err := prompt.Parse([]byte(tt.frame + "+\r\n")); err == nil {
			t.Errorf("%s: what follows the frame was not noticed", tt.name)
		}
	}
	for _, bad := range []string{"x1\r\n", "$x\r\n", "*x\r\n", "$9\r\nab\r\n", "$?\r\n+x\r\n", "$9223372036854775807\r\nab\r\n"} {
		if v, err := prompt.Parse([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, v)
		}
	}
}
