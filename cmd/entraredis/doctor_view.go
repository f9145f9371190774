package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"github.com/entraredis/entraredis/doctor"
)

// doctorView shows an examination. In a terminal the check that runs stands in
// the last line, with a wheel, until its result takes the place; elsewhere
// nothing is written that a log could not hold.
type doctorView struct {
	out   io.Writer
	json  bool
	style doctor.Style
	live  bool

	mu      sync.Mutex // guards the rest, and writing while live
	running string     // what stands behind the wheel; "" = nothing
	turn    int
	done    chan struct{}
	turned  sync.WaitGroup
}

var statusStyles = map[doctor.Status]lipgloss.Style{
	doctor.OK:      lipgloss.NewStyle().Foreground(lipgloss.Color("2")),
	doctor.Warning: lipgloss.NewStyle().Foreground(lipgloss.Color("3")).Bold(true),
	doctor.Failed:  lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true),
	doctor.Skipped: lipgloss.NewStyle().Faint(true),
}

// maxColumns keeps text readable in a wide terminal.
const maxColumns = 120

func newDoctorView(s streams, o *doctorOptions) *doctorView {
	v := &doctorView{out: s.out, json: o.json, style: doctor.Style{Verbose: o.verbose}, done: make(chan struct{})}
	v.live = !o.json && !o.plain && s.env("NO_COLOR") == "" && s.env("TERM") != "dumb" && isTerminal(s.out)
	if !v.live {
		return v
	}
	v.style.Width = maxColumns
	if f, ok := s.out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			v.style.Width = min(width, maxColumns)
		}
	}
	v.style.Paint = func(s doctor.Status, word string) string { return statusStyles[s].Render(word) }
	v.turned.Go(v.spin)
	return v
}

const (
	wheelTurn = 100 * time.Millisecond
	eraseLine = "\r\x1b[2K"
)

var wheel = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func (v *doctorView) spin() {
	tick := time.NewTicker(wheelTurn)
	defer tick.Stop()
	for {
		select {
		case <-v.done:
			return
		case <-tick.C:
			v.mu.Lock()
			v.turn++
			v.draw()
			v.mu.Unlock()
		}
	}
}

// draw writes the line of the check that runs. v.mu is held.
func (v *doctorView) draw() {
	if v.running != "" {
		fmt.Fprintf(v.out, "%s%c %.*s", eraseLine, wheel[v.turn%len(wheel)], max(10, v.style.Width-3), v.running)
	}
}

// progress is told of each check. Errors of writing are not looked at here: the
// conclusion is written to the same place and has the same ones.
func (v *doctorView) progress(p doctor.Progress) {
	if v.json {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live && v.running != "" {
		fmt.Fprint(v.out, eraseLine)
	}
	switch {
	case p.Result != nil:
		v.running = ""
		_ = p.Result.Write(v.out, v.style)
	case p.Note != "":
		fmt.Fprintf(v.out, "         %-12s %s\n", p.Check.Name, p.Note)
	case v.live:
		v.running = fmt.Sprintf("       %-12s %s?", p.Check.Name, p.Check.Proves)
	}
	if v.live {
		v.draw()
	}
}

// stop ends the wheel.
func (v *doctorView) stop() {
	close(v.done)
	v.turned.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live && v.running != "" {
		fmt.Fprint(v.out, eraseLine)
	}
	v.running = ""
}
