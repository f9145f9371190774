package front

import (
	"fmt"
	"strings"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// flavor is one server's words and what it blocks.
type flavor struct {
	name      string
	acl       acl.Version
	version   string // as HELLO and INFO say it
	wrongPass string
	blocked   map[string]bool // full command names, or containers whole
	limits    bool            // bounds on what clients may send before AUTH: since Redis 6.2
}

func flavorOf(name string) flavor {
	switch name {
	case AMR:
		return flavor{name: AMR, acl: acl.Redis7, version: "7.4.3", limits: true,
			wrongPass: "WRONGPASS invalid username-password pair", blocked: blockedAMR}
	case Redis:
		return flavor{name: Redis, acl: acl.Redis7, version: "7.0.15", limits: true,
			wrongPass: "WRONGPASS invalid username-password pair or user is disabled."}
	}
	return flavor{name: ACR, acl: acl.Redis60, version: "6.0.14",
		wrongPass: "ERR WRONGPASS invalid username-password pair", blocked: blockedACR}
}

// clusterWrites change a cluster's layout, which is Azure's affair.
var clusterWrites = strings.Fields("addslots addslotsrange bumpepoch delslots delslotsrange failover flushslots " +
	"forget meet replicate reset saveconfig set-config-epoch setslot")

// blockedACR is Microsoft Learn's list, "Redis commands not supported in Azure
// Cache for Redis".
var blockedACR = block("cluster", clusterWrites,
	"bgrewriteaof bgsave config debug migrate psync replconf replicaof save shutdown slaveof sync")

// blockedAMR is Microsoft Learn's list for Azure Managed Redis and what Redis
// Software does not support (redis.io "Redis Software compatibility").
var blockedAMR = block("cluster", clusterWrites,
	"bgrewriteaof bgsave debug migrate move psync replconf replicaof slaveof reset save select shutdown swapdb sync "+
		"module|load module|loadex module|unload acl|deluser acl|genpass acl|load acl|log acl|save acl|setuser "+
		"client|caching client|getredir client|no-evict client|pause client|unpause client|reply client|tracking client|trackinginfo")

func block(container string, subs []string, names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	for _, s := range subs {
		m[container+"|"+s] = true
	}
	return m
}

// blocks reports whether the flavour hides a command.
func (f flavor) blocks(cmd *acl.Command, args [][]byte) bool {
	if f.blocked[cmd.Base()] || f.blocked[cmd.Name] {
		return true
	}
	return len(cmd.Subs) > 0 && len(args) > 1 && f.blocked[cmd.Name+"|"+strings.ToLower(string(args[1]))]
}

func (f flavor) unknownCommand(args [][]byte) string {
	quote, closing, format := "`", "`, ", "ERR unknown command `%s`, with args beginning with: %s"
	if f.acl != acl.Redis60 {
		quote, closing, format = "'", "' ", "ERR unknown command '%.128s', with args beginning with: %s"
	}
	list := ""
	for _, a := range args[1:] {
		if len(list) >= 128 {
			break
		}
		list += quote + string(a[:min(len(a), 128-len(list))]) + closing
	}
	return fmt.Sprintf(format, args[0], list)
}

func (f flavor) unknownSub(container *acl.Command, args [][]byte) string {
	base := strings.ToUpper(container.Name)
	if f.acl == acl.Redis60 {
		return fmt.Sprintf("ERR Unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.", args[1], base)
	}
	return fmt.Sprintf("ERR unknown subcommand '%.128s'. Try %s HELP.", args[1], base)
}

func (f flavor) noAuthHello() string {
	how := "HELLO AUTH <user> <pass>"
	if f.name == AMR { // as of Redis 7.2
		how = "HELLO <proto> AUTH <user> <pass>"
	}
	return "NOAUTH HELLO must be called with the client already authenticated, otherwise the " + how +
		" option can be used to authenticate the client and select the RESP protocol version at the same time"
}

func (f flavor) inSubscription(name string) string {
	only := "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET"
	if f.acl == acl.Redis60 {
		only = "(P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT"
	}
	return fmt.Sprintf("ERR Can't execute '%s': only %s are allowed in this context", name, only)
}

// denied words a refusal by the access policy: Redis 6.0, 7.0 and, for Azure
// Managed Redis, 7.2 and later each have their own.
func (f flavor) denied(user string, d *acl.Denied) string {
	switch f.name {
	case ACR:
		if d.Reason == acl.DeniedCommand {
			return fmt.Sprintf("NOPERM this user has no permissions to run the '%s' command or its subcommand", d.Command)
		}
		return "NOPERM this user has no permissions to access one of the keys used as arguments"
	case AMR:
		switch d.Reason {
		case acl.DeniedCommand:
			return fmt.Sprintf("NOPERM User %s has no permissions to run the '%s' command", user, d.Command)
		case acl.DeniedKey:
			return "NOPERM No permissions to access a key"
		}
		return "NOPERM No permissions to access a channel"
	}
	switch d.Reason {
	case acl.DeniedCommand:
		return fmt.Sprintf("NOPERM this user has no permissions to run the '%s' command", d.Command)
	case acl.DeniedKey:
		return "NOPERM this user has no permissions to access one of the keys used as arguments"
	}
	return "NOPERM this user has no permissions to access one of the channels used as arguments"
}
