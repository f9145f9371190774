package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
)

const redraw = 250 * time.Millisecond

// showTable draws the table until ctx ends, and reports whether a person
// ended it before.
func showTable(ctx context.Context, b *board, o Options) (quit bool, err error) {
	program := tea.NewProgram(tableModel{board: b, now: b.start},
		tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out),
		tea.WithEnvironment(o.Environ), tea.WithoutSignalHandler())
	last, err := program.Run()
	if ctx.Err() != nil || errors.Is(err, tea.ErrProgramKilled) {
		err = nil // the end of ctx is the normal end
	}
	if m, ok := last.(tableModel); ok {
		quit = m.quit
	}
	return quit, err
}

type tableModel struct {
	board *board
	now   time.Time
	lines []line
	width int
	quit  bool
}

type tickMsg time.Time

func tick() tea.Cmd {
	return tea.Tick(redraw, func(t time.Time) tea.Msg { return tickMsg(t) })
}

func (m tableModel) Init() tea.Cmd { return tick() }

func (m tableModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		m.now = time.Time(msg)
		m.lines = m.board.read(m.now)
		return m, tick()
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case tea.KeyPressMsg:
		// The terminal is in raw mode: Ctrl-C is a key here, not a signal.
		if s := msg.String(); s == "ctrl+c" || s == "q" {
			m.quit = true
			return m, tea.Quit
		}
	}
	return m, nil
}

func (m tableModel) View() tea.View { return tea.NewView(m.render()) }

var (
	faint  = lipgloss.NewStyle().Faint(true)
	bold   = lipgloss.NewStyle().Bold(true)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	bad    = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
	column = lipgloss.NewStyle().Padding(0, 1)
)

// headers and their narrow forms; columns after the first two hold numbers.
var (
	wide   = []string{"client", "credential", "commands", "rate", "failed", "connections", "dropped", "re-AUTHs", "token"}
	narrow = []string{"client", "", "cmds", "/s", "fail", "conns", "drop", "AUTHs", "token"}
)

const failedColumn, droppedColumn = 4, 6

func (m tableModel) render() string {
	headers, credentials := wide, true
	if m.width > 0 && m.width < 118 {
		headers, credentials = narrow, false
	}
	rows := make([][]string, len(m.lines))
	for i, l := range m.lines {
		rows[i] = l.cells(credentials)
	}
	t := table.New().Headers(headers...).Rows(rows...).Wrap(false).
		Border(lipgloss.NormalBorder()).BorderStyle(faint).BorderColumn(false).
		StyleFunc(func(r, c int) lipgloss.Style { return m.style(r, c) })
	at := m.now.Sub(m.board.start)
	head := fmt.Sprintf("entraredis demo  %s of %s  %s  tokens of %s, %d lifetimes passed",
		at.Truncate(time.Second), m.board.duration, bar(at, m.board.duration), m.board.lifetime, m.board.lifetimes(m.now))
	foot := faint.Render("The last row goes without entraredis and logs in by hand.  Ctrl-C ends early.")
	return bold.Render(head) + "\n" + t.String() + "\n" + foot + "\n"
}

func (m tableModel) style(r, c int) lipgloss.Style {
	s := column
	if c > 1 {
		s = s.Align(lipgloss.Right)
	}
	if r == table.HeaderRow {
		return s.Bold(true)
	}
	l := m.lines[r]
	var count uint64
	switch c {
	case failedColumn:
		count = l.failed
	case droppedColumn:
		count = l.dropped
	default:
		return s
	}
	if count > 0 {
		return s.Inherit(bad)
	}
	return s.Inherit(good)
}

func (l line) cells(credentials bool) []string {
	kind := l.kind
	if !credentials {
		kind = ""
	}
	reauths := thousands(l.reauths)
	if !l.ours {
		reauths = "-"
	}
	return []string{
		l.name, kind, thousands(l.commands), fmt.Sprintf("%.0f/s", l.rate), thousands(l.failed),
		fmt.Sprint(l.connections), thousands(l.dropped), reauths, seconds(l.expiresIn),
	}
}

// bar is a progress bar of ten places.
func bar(at, of time.Duration) string {
	const places = 10
	n := min(max(int(at*places/of), 0), places)
	return strings.Repeat("█", n) + strings.Repeat("░", places-n)
}
