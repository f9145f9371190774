package demo

import (
	"fmt"
	"io"
	"time"
)

// Summary is what happened.
type Summary struct {
	Elapsed, TokenLifetime time.Duration
	Lifetimes              int // token lifetimes that passed in full
	Interrupted            bool

	Ours, Plain Side
	IdleAlive   int // connections of the idle pool that still answered at the end
	IdleSize    int

	TokensIssued uint64
}

// Side is the sum of the clients that go through a Dialer, or the plain client.
type Side struct {
	Commands, Failed uint64
	Opened, Dropped  uint64 // connections
	Reauths          uint64
}

func (b *board) summary(now time.Time, idle int) Summary {
	ours, plain := sides(b.read(now))
	return Summary{
		Elapsed: now.Sub(b.start), TokenLifetime: b.lifetime, Lifetimes: b.lifetimes(now),
		Ours:      Side{ours.commands, ours.failed, ours.opened, ours.dropped, ours.reauths},
		Plain:     Side{Commands: plain.commands, Failed: plain.failed, Opened: plain.opened, Dropped: plain.dropped},
		IdleAlive: idle, IdleSize: idleSize,
	}
}

// Err is nil if the demo showed what it is for: none of our commands failed,
// none of our connections was dropped, and the plain client was dropped.
func (s Summary) Err() error {
	switch {
	case s.Ours.Failed > 0 || s.Ours.Dropped > 0:
		return fmt.Errorf("through entraredis %s commands failed and %s connections were dropped", thousands(s.Ours.Failed), thousands(s.Ours.Dropped))
	case s.IdleAlive < s.IdleSize:
		return fmt.Errorf("only %d of %d idle connections were still alive", s.IdleAlive, s.IdleSize)
	case s.Ours.Commands == 0:
		return fmt.Errorf("no command ran")
	case s.Plain.Dropped == 0:
		return fmt.Errorf("the plain client was never dropped: no token expired under it")
	}
	return nil
}

// Write prints the summary for people.
func (s Summary) Write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s, %d token lifetimes of %s, %s tokens issued\n\n",
		s.Elapsed.Round(time.Second), s.Lifetimes, s.TokenLifetime, thousands(s.TokensIssued))
	const form = "%-18s  %12s  %8s  %11s  %7s  %8s\n"
	fmt.Fprintf(w, form, "", "commands", "failed", "connections", "dropped", "re-AUTHs")
	fmt.Fprintf(w, form, "through entraredis", thousands(s.Ours.Commands), thousands(s.Ours.Failed),
		thousands(s.Ours.Opened), thousands(s.Ours.Dropped), thousands(s.Ours.Reauths))
	fmt.Fprintf(w, form, "plain go-redis", thousands(s.Plain.Commands), thousands(s.Plain.Failed),
		thousands(s.Plain.Opened), thousands(s.Plain.Dropped), "-")
	_, err := fmt.Fprintf(w, "\n%d of %d connections of the idle pool still answer after %s unused\n",
		s.IdleAlive, s.IdleSize, s.Elapsed.Round(time.Second))
	return err
}
