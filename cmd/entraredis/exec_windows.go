package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that must not end this program before the command
// that exec runs has ended.
var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM}

// hasIt reports whether the command has had the signal already: a console
// tells all programs that share it of Ctrl-C and of its closing.
func hasIt(os.Signal) bool { return true }
