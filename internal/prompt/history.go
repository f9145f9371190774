package prompt

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// maxHistory bounds the lines that are remembered.
const maxHistory = 1000

// History is the lines of a prompt, oldest first. It keeps no command that may
// hold a secret, and nothing twice in a row. It fits readline's History. It is
// not safe for concurrent use.
type History struct {
	lines []string
	file  string // "" keeps it in memory
}

// OpenHistory reads the history of a file, and makes its directory if there is
// none; new lines are added to the file, mode 0600. If that is not possible (a
// home directory that cannot be written, say) the error says why, and the
// History, which is never nil, lives in memory.
func OpenHistory(file string) (*History, error) {
	h := &History{}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return h, err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return h, err
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		h.lines = append(h.lines, scan.Text())
	}
	if err := scan.Err(); err != nil {
		return h, err
	}
	h.file = file
	if len(h.lines) > 2*maxHistory { // not with each line: others may be adding
		h.lines = h.lines[len(h.lines)-maxHistory:]
		return h, os.WriteFile(file, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600)
	}
	return h, nil
}

// Write remembers a line, unless it may hold a secret or is the same as the
// last, and returns how many there are.
func (h *History) Write(line string) (int, error) {
	line = strings.TrimSpace(line)
	last := ""
	if len(h.lines) > 0 {
		last = h.lines[len(h.lines)-1]
	}
	if line == "" || line == last || strings.ContainsAny(line, "\r\n") || secretLine(line) {
		return len(h.lines), nil
	}
	h.lines = append(h.lines, line)
	if h.file == "" {
		return len(h.lines), nil
	}
	f, err := os.OpenFile(h.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		h.file = "" // said once, not with each line
		return len(h.lines), err
	}
	_, err = fmt.Fprintln(f, line)
	return len(h.lines), errors.Join(err, f.Close())
}

// secretLine is Secret of a line. One whose quotes are unbalanced never became
// a command; its words tell enough.
func secretLine(line string) bool {
	split, ok := resp.SplitLine([]byte(line))
	if !ok {
		return Secret(strings.Fields(line))
	}
	args := make([]string, len(split))
	for i, arg := range split {
		args[i] = string(arg)
	}
	return Secret(args)
}

// GetLine returns the i-th line, the oldest being 0.
func (h *History) GetLine(i int) (string, error) {
	if i < 0 || i >= len(h.lines) {
		return "", fmt.Errorf("history has no line %d", i)
	}
	return h.lines[i], nil
}

// Len is the number of lines.
func (h *History) Len() int { return len(h.lines) }

// Dump returns all lines.
func (h *History) Dump() any { return h.lines }
