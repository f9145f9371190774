// Package prompt is what a Redis prompt is made of, terminal apart: replies as
// values and their forms for people, scripts and JSON; the commands of Redis
// with their arguments, for completion and hints; a conversation with one
// cache that outlives its connections; and a history without secrets.
package prompt

//go:generate go run ./gen -o table.go
