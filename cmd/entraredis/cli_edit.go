package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/reeflective/readline"

	"github.com/entraredis/entraredis/internal/prompt"
)

// lineReader reads lines that a person types. Its errors are io.EOF and
// readline.ErrInterrupt, for keys that say so, and those of the terminal.
type lineReader interface {
	Readline() (string, error)
}

// newLines returns the line editor, or, where there is no terminal that could
// do what it needs, a reader without.
func (c *cli) newLines() lineReader {
	history, err := openHistory(c.streams)
	if err != nil {
		fmt.Fprintf(c.err, "entraredis: the history is not kept: %v\n", err)
	}
	// The editor asks the terminal where the cursor is, and waits for the answer.
	if !isTerminal(c.out) || c.env("TERM") == "dumb" {
		return &plainLines{in: bufio.NewReader(c.in), out: c.err, prompt: c.promptText, history: history}
	}
	lines := readline.NewShell()
	lines.Prompt.Primary(c.promptText)
	lines.Hint.SetProvider(hintBelow)
	lines.Completer = completeCommand
	for _, name := range []string{"completion-ignore-case", "menu-complete-display-prefix"} {
		// Names are not told apart by case; and Tab is to complete as far as
		// it is clear, not to choose. The error is one of type.
		_ = lines.Config.Set(name, true)
	}
	lines.History.Add("history", history)
	return lines
}

// plainLines reads lines as the terminal hands them out, edited by itself. The
// prompt goes to out, which is not where replies go: those may be for a file.
type plainLines struct {
	in      *bufio.Reader
	out     io.Writer
	prompt  func() string
	history *prompt.History
}

func (p *plainLines) Readline() (string, error) {
	fmt.Fprint(p.out, p.prompt())
	line, err := p.in.ReadString('\n')
	if line == "" && err != nil {
		fmt.Fprintln(p.out)
		return "", err
	}
	if _, err := p.history.Write(line); err != nil {
		fmt.Fprintf(p.out, "entraredis: the history is not kept: %v\n", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// openHistory opens the history in the user's state directory.
func openHistory(s streams) (*prompt.History, error) {
	dir := s.env("XDG_STATE_HOME")
	if dir == "" && runtime.GOOS == "windows" {
		dir = s.env("LocalAppData")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return &prompt.History{}, err
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return prompt.OpenHistory(filepath.Join(dir, "entraredis", "cli_history"))
}

// promptText names the cache, the database and a transaction under way.
func (c *cli) promptText() string {
	if !c.session.Connected() && !c.session.InTransaction() {
		return "not connected> "
	}
	text := c.addr
	if db := c.session.DB(); db != 0 {
		text += fmt.Sprintf("[%d]", db)
	}
	if c.session.InTransaction() {
		text += "(TX)"
	}
	return text + "> "
}

// hintBelow is what may follow the words that are complete, for below the line.
func hintBelow(line []rune, _ int) []rune {
	text := string(line)
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	if !strings.HasSuffix(text, " ") {
		if _, n := prompt.Find(words); n < len(words) {
			words = words[:len(words)-1]
		}
	}
	hint := prompt.Hint(words)
	if hint == "" {
		return nil
	}
	return []rune("\x1b[2m" + hint + "\x1b[0m")
}

// completeCommand completes the name of a command, in the case it was begun in.
func completeCommand(line []rune, cursor int) readline.Completions {
	typed := strings.TrimLeft(string(line[:cursor]), " ")
	begun := typed[strings.LastIndex(typed, " ")+1:]
	var pairs []string
	for _, found := range prompt.Complete(typed) {
		name := found.Name[strings.LastIndex(found.Name, " ")+1:]
		if begun != "" && begun == strings.ToLower(begun) {
			name = strings.ToLower(name)
		}
		pairs = append(pairs, name, found.Summary)
	}
	return readline.CompleteValuesDescribed(pairs...)
}
