package demo

import (
	"fmt"
	"strconv"
	"time"
)

// board reads the counts of all rows. It belongs to one goroutine.
type board struct {
	rows               []*row
	start              time.Time
	duration, lifetime time.Duration
	past               []sample // of the last second, oldest first
}

type sample struct {
	at       time.Time
	commands []uint64
}

// line is one row at one instant.
type line struct {
	name, kind                string
	ours                      bool
	commands, failed, dropped uint64
	opened, reauths           uint64
	connections               int64
	expiresIn                 time.Duration
	rate                      float64 // commands per second
}

func newBoard(rows []*row, o Options, now time.Time) *board {
	b := &board{rows: rows, start: now, duration: o.Duration, lifetime: o.TokenLifetime}
	b.read(now) // rates count from here
	return b
}

// read takes the rates over about the last second.
func (b *board) read(now time.Time) []line {
	for len(b.past) > 1 && now.Sub(b.past[1].at) >= time.Second {
		b.past = b.past[1:]
	}
	lines := make([]line, len(b.rows))
	commands := make([]uint64, len(b.rows))
	for i, r := range b.rows {
		lines[i] = r.read(now)
		commands[i] = lines[i].commands
		if len(b.past) > 0 {
			if dt := now.Sub(b.past[0].at).Seconds(); dt > 0 {
				lines[i].rate = float64(commands[i]-b.past[0].commands[i]) / dt
			}
		}
	}
	b.past = append(b.past, sample{now, commands})
	return lines
}

func (r *row) read(now time.Time) line {
	l := line{
		name: r.name, kind: string(r.kind), ours: r.ours(),
		commands: r.commands.Load(), failed: r.failed.Load(),
		opened: r.opened.Load(), dropped: r.dropped.Load(), connections: r.open.Load(),
		expiresIn: r.expires().Sub(now),
	}
	if r.ours() {
		stats := r.dialer.Stats()
		l.reauths = stats.Reauths
		// A connection nobody reads from is seen to end by the Dialer first.
		l.dropped = max(l.dropped, stats.Expired)
	}
	return l
}

// add sums lines of the same side; the expiry is that of the token that ends first.
func (l line) add(m line) line {
	if l.opened == 0 && l.commands == 0 {
		m.name = l.name
		return m
	}
	l.commands += m.commands
	l.failed += m.failed
	l.dropped += m.dropped
	l.opened += m.opened
	l.reauths += m.reauths
	l.connections += m.connections
	l.rate += m.rate
	l.expiresIn = min(l.expiresIn, m.expiresIn)
	return l
}

// sides sums the lines into ours and the plain client's.
func sides(lines []line) (ours, plain line) {
	for _, l := range lines {
		if l.ours {
			ours = ours.add(l)
		} else {
			plain = plain.add(l)
		}
	}
	return ours, plain
}

// lifetimes is how many token lifetimes have passed in full.
func (b *board) lifetimes(now time.Time) int { return int(now.Sub(b.start) / b.lifetime) }

// thousands prints 1234567 as 1,234,567.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// seconds prints a time to expiry; one that has passed is "expired".
func seconds(d time.Duration) string {
	if d <= 0 {
		return "expired"
	}
	if d >= 10*time.Minute {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
