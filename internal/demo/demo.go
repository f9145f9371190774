// Package demo runs the same Redis load beside each other through a
// [entraredis.Dialer] and through a client with a token fetched by hand, while
// tokens expire every few seconds, and counts who loses connections and
// commands. Everything runs in the process, against the emulator.
package demo

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Options says how long to run and where to show it.
type Options struct {
	Duration      time.Duration // at least two token lifetimes
	TokenLifetime time.Duration // 2 s to 24 h
	Live          bool          // draw a table that updates in place; In and Out are a terminal
	In            io.Reader     // of the terminal, for Ctrl-C; nil if it is none
	Out           io.Writer
	Environ       []string // for the terminal's abilities
}

// OptionError names the option that cannot be used.
type OptionError struct {
	Option  string // as a flag: "duration", "token-lifetime"
	Problem string
}

func (e *OptionError) Error() string { return e.Option + " " + e.Problem }

// Validate returns an [*OptionError], or nil.
func (o Options) Validate() error {
	switch {
	case o.TokenLifetime < 2*time.Second || o.TokenLifetime > 24*time.Hour:
		return &OptionError{"token-lifetime", fmt.Sprintf("is %v, must be between 2s and 24h", o.TokenLifetime)}
	case o.Duration < 2*o.TokenLifetime:
		return &OptionError{"duration", fmt.Sprintf("is %v, must be at least two token lifetimes (%v)", o.Duration, 2*o.TokenLifetime)}
	}
	return nil
}

// Run plays the demo until its duration is over, ctx ends or a person at the
// terminal ends it, and returns what happened. An error means that it could
// not start; lost commands are in the Summary.
func Run(ctx context.Context, o Options) (Summary, error) {
	if err := o.Validate(); err != nil {
		return Summary{}, err
	}
	st, err := newStage(ctx, o.TokenLifetime)
	if err != nil {
		return Summary{}, err
	}
	defer st.close()
	cast, err := newCast(ctx, st)
	if err != nil {
		return Summary{}, err
	}
	defer cast.close()

	show, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	b := newBoard(cast.rows, o, time.Now())
	stopLoad := cast.start()
	var quit bool
	if o.Live {
		quit, err = showTable(show, b, o)
	} else {
		err = showLines(show, b, o.Out)
	}
	// The load ends before the idle pool is looked at, and the emulator after
	// both: nothing fails because the demo is over.
	stopLoad()
	idle := cast.checkIdle(context.WithoutCancel(ctx))
	if err != nil {
		return Summary{}, err
	}
	s := b.summary(time.Now(), idle)
	s.TokensIssued = st.emulator.Stats().TokensIssued
	// None of our clients closes a connection before this point, so by the
	// emulator's own count too every one must be open.
	s.Ours.Dropped = max(s.Ours.Dropped, s.Ours.Opened-min(s.Ours.Opened, st.openConnections()))
	s.Interrupted = quit || ctx.Err() != nil
	return s, nil
}
