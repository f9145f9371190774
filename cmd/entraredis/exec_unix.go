//go:build !windows

package main

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedOn are the signals that are meant for the command that exec runs.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// hasIt reports whether the command has had the signal already: a terminal
// sends those of its keys, and of its size, to all of the foreground group.
// Programs take a second SIGINT for a wish to end at once, so it must not be
// sent twice. (Who sent a signal cannot be asked in Go; one that another
// process sends to us alone while we are in the foreground is taken for the
// terminal's.)
func hasIt(sig os.Signal) bool {
	if !slices.Contains([]os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH}, sig) {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false // no terminal at all
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
