package front

import (
	"fmt"
	"slices"
	"strings"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// backendClient are the CLIENT subcommands that the backend answers.
var backendClient = []string{"tracking", "caching", "getredir", "trackinginfo"}

// local returns what answers a command here, nil if the backend does. The
// function reports false when the connection is to end.
func (c *conn) local(cmd *acl.Command, args [][]byte) func() bool {
	sub := ""
	if len(args) > 1 {
		sub = strings.ToLower(string(args[1]))
	}
	// Redis 6.0 sees a container's subcommand only when it runs it.
	if s := cmd.Sub(sub); cmd.Name == cmd.Base() && len(cmd.Subs) > 0 && len(args) > 1 && (s == nil || !s.ArityOK(len(args))) {
		return c.answer(func() { c.sayError(c.s.flavor.unknownSub(cmd, args)) })
	}
	switch cmd.Base() {
	case "auth":
		return func() bool { return c.auth(args) }
	case "hello":
		return func() bool { return c.hello(args) }
	case "acl":
		return c.answer(func() { c.acl(sub, args) })
	case "client":
		if !slices.Contains(backendClient, sub) {
			return c.answer(func() { c.client(sub, args) })
		}
	case "cluster":
		// The services emulated here are not clustered; miniredis would
		// announce a node with an address of its own.
		if c.s.flavor.name != Redis {
			return c.answer(func() { c.sayError("ERR This instance has cluster support disabled") })
		}
	case "info":
		if c.s.flavor.name != Redis {
			return c.answer(func() { c.say(c.verbatim(c.serverInfo(args[1:]))) })
		}
	}
	return nil
}

func (c *conn) answer(f func()) func() bool {
	return func() bool { f(); return true }
}

// acl answers the ACL commands that tell a user about itself. The others
// would show or change users, whom the emulator keeps elsewhere.
func (c *conn) acl(sub string, args [][]byte) {
	switch sub {
	case "whoami":
		c.say(bulk(c.current().Username))
	case "cat":
		list := acl.Categories()
		if len(args) > 2 {
			cat, ok := acl.ParseCategory(string(args[2]))
			if !ok {
				c.sayError(fmt.Sprintf("ERR Unknown category '%s'", args[2]))
				return
			}
			list = acl.InCategory(c.s.flavor.acl, cat)
		}
		c.say(array(len(list)))
		for _, n := range list {
			c.say(bulk(n))
		}
	default:
		c.notEmulated("ACL", sub)
	}
}

// notEmulated tells "this emulator does not have it" from "Azure refuses it".
func (c *conn) notEmulated(container, sub string) {
	c.sayError(fmt.Sprintf("ERR %s %s is not emulated", container, strings.ToUpper(sub)))
}

func (c *conn) serverInfo(sections [][]byte) string {
	stats := c.s.Stats()
	all := []struct{ name, text string }{
		{"server", "# Server\r\nredis_version:" + c.s.flavor.version + "\r\nredis_mode:standalone\r\nos:emulator\r\n"},
		{"clients", fmt.Sprintf("# Clients\r\nconnected_clients:%d\r\n", stats.Connections)},
		{"persistence", "# Persistence\r\nloading:0\r\n"},
		{"stats", fmt.Sprintf("# Stats\r\ntotal_connections_received:%d\r\ntotal_commands_processed:%d\r\n", stats.Accepted, stats.Commands)},
		{"replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"},
		{"cluster", "# Cluster\r\ncluster_enabled:0\r\n"},
	}
	var parts []string
	for _, s := range all {
		wanted := len(sections) == 0
		for _, w := range sections {
			w := strings.ToLower(string(w))
			wanted = wanted || w == s.name || w == "all" || w == "default" || w == "everything"
		}
		if wanted {
			parts = append(parts, s.text)
		}
	}
	return strings.Join(parts, "\r\n")
}
