// Package commands knows Redis's commands: what a real server says of each in
// its COMMAND reply, and which of them may travel over a connection that
// several clients share.
package commands

//go:generate go run ./gen -o table.go
