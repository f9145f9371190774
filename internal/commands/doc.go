// Package commands knows Redis's commands: what real servers, old and new, say of
// each in their COMMAND replies, and which of them may travel over a connection that
// several clients share.
package commands

//go:generate ./gen/servers
