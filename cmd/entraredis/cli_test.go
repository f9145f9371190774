package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/reeflective/readline"

	"github.com/entraredis/entraredis/internal/prompt"
	"github.com/entraredis/entraredis/internal/resp"
)

func TestHintBelow(t *testing.T) {
	for line, want := range map[string]string{
		"": "", "ge": "", "get": "key", "get ": "key", "get k": "key", "get k ": "",
		"config ge": "", "config get": "parameter [parameter ...]", "mset a ": "key value [key value ...]",
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(string(hintBelow([]rune(line), len(line))), "\x1b[2m"), "\x1b[0m")
		if got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestCompleteCommandKeepsTheCase(t *testing.T) {
	for typed, want := range map[string][]string{
		"zint": {"zinter", "zintercard", "zinterstore"}, "ZINTERC": {"ZINTERCARD"}, " config r": {"resetstat", "rewrite"}, "get k": nil,
	} {
		var got []string
		all := completeCommand([]rune(typed), len(typed))
		all.EachValue(func(v readline.Completion) readline.Completion {
			got = append(got, v.Value)
			return v
		})
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}

// A reader that went away ends what would otherwise stream for ever.
func TestStdoutThatIsGoneEndsAStream(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		resp.NewReader(server).ReadCommand()
		io.WriteString(server, "*3\r\n+subscribe\r\n+a\r\n:1\r\n")
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	c := &cli{streams: streams{out: w, err: &bytes.Buffer{}}, form: formRaw, session: &prompt.Session{
		Dial: func(context.Context) (net.Conn, error) { return client, nil },
	}}
	defer c.session.Close()
	if err := c.once(t.Context(), []string{"SUBSCRIBE", "a"}); !errors.Is(err, c.writeErr) || c.writeErr == nil {
		t.Errorf("got %v, want the error of writing (%v)", err, c.writeErr)
	}
}

func TestPromptAnswers(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		commands := resp.NewReader(server)
		for {
			if _, err := commands.ReadCommand(); err != nil {
				return
			}
			io.WriteString(server, ":1\r\n")
		}
	}()
	var out bytes.Buffer
	dials := 0
	c := &cli{streams: streams{out: &out}, addr: "cache:1", session: &prompt.Session{Dial: func(context.Context) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("entraredis: cache is gone")
		}
		return client, nil
	}}}
	interrupts := make(chan struct{}, 1)
	for _, step := range []struct {
		line, want, prompt string
		leave              bool
	}{
		{"incr n", "(integer) 1\n", "cache:1> ", false},
		{"", "", "cache:1> ", false},
		{`get "x`, "(error) unbalanced quotes\n", "cache:1> ", false},
		{"help get", "GET key\n  Get the value of a key\n", "cache:1> ", false},
		{"help nonsense", "no command \"nonsense\" in Redis " + prompt.TableVersion + ", which this help is of\n", "cache:1> ", false},
		{"client reply off", "(error) " + prompt.ErrNoReply.Error() + "\n", "cache:1> ", false},
		{"quit", "", "cache:1> ", true},
		{"lose", "", "not connected> ", false},
		{"get k", "(error) cache is gone\n", "not connected> ", false},
	} {
		out.Reset()
		if step.line == "lose" {
			c.session.Close()
		} else if leave := c.answer(t.Context(), step.line, interrupts); leave != step.leave {
			t.Errorf("%q: leave is %v", step.line, leave)
		}
		if out.String() != step.want || c.promptText() != step.prompt {
			t.Errorf("%q: got %q and the prompt %q, want %q and %q", step.line, &out, c.promptText(), step.want, step.prompt)
		}
	}
}
