// Package front is the Redis side of the emulator that clients talk to: it
// authenticates connections, checks every command against the user's access
// policy, refuses what Azure refuses in Azure's words, closes a connection
// whose access token has expired, and passes the rest to a Redis behind it.
//
// It is a judge of clients and therefore knows nothing of how one may keep a
// connection authenticated; its rules are those of a Redis server
// (server.c processCommand, acl.c, networking.c) and of the vendor's
// documentation.
package front

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/entraredis/entraredis/emulator/internal/acl"
)

// The flavours there are.
const (
	ACR   = "acr"   // Azure Cache for Redis: a fork of Redis 6.0
	AMR   = "amr"   // Azure Managed Redis: Redis Enterprise 7.4
	Redis = "redis" // a plain Redis 7.0 that blocks nothing
)

// Session is an authenticated user. A connection's session ends with its
// access token.
type Session struct {
	Principal string // for logs and statistics
	Username  string
	Expires   time.Time // zero: never
	Rules     *acl.Rules
}

// Config says what a Server serves. Verify and Backend are required.
type Config struct {
	Flavor string // "acr" (default), "amr" or "redis"

	// Verify checks the credentials of an AUTH. Any error refuses them, in the
	// flavour's words whatever it says; AUTH with a password alone comes with
	// the username "default".
	Verify func(username, password string) (Session, error)

	// Backend connects to the Redis behind the front, which must answer
	// without authentication. It is called once per client connection, and
	// again for a RESET and for the subscriptions of a RESP3 client.
	Backend func(context.Context) (net.Conn, error)

	Now   func() time.Time // nil: time.Now
	Grace time.Duration    // how long a connection outlives its token

	RefuseHello func() bool // true: HELLO is an unknown command. nil: it never is

	// AuthFault is called before each AUTH and each HELLO with AUTH (command
	// is "AUTH" or "HELLO") and may block until ctx ends, which it does with
	// the connection. A reply is sent as an error line instead of an answer;
	// reset closes the connection. nil: no faults.
	AuthFault func(ctx context.Context, command string) (reply string, reset bool)

	// CommandFault is called before each command, as AuthFault is before each
	// AUTH. A reply is sent as it is instead of an answer. nil: no faults.
	CommandFault func(ctx context.Context, args [][]byte) (reply []byte, reset bool)

	Logger *slog.Logger // nil: silent. Never given a password
}

func (c Config) withDefaults() Config {
	if c.Flavor == "" {
		c.Flavor = ACR
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.RefuseHello == nil {
		c.RefuseHello = func() bool { return false }
	}
	if c.AuthFault == nil {
		c.AuthFault = func(context.Context, string) (string, bool) { return "", false }
	}
	if c.CommandFault == nil {
		c.CommandFault = func(context.Context, [][]byte) ([]byte, bool) { return nil, false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c
}

// Stats counts since the Server was made.
type Stats struct {
	Auths        uint64 // credentials accepted, by AUTH or HELLO
	AuthsRefused uint64 // credentials refused
	Reauths      uint64 // those of Auths on a connection that was authenticated already
	Expired      uint64 // connections closed because their token had expired
	Accepted     uint64 // connections ever
	Commands     uint64 // commands received, refused ones too
	Connections  int    // connections open now
}

// Conn describes an open connection.
type Conn struct {
	ID          uint64
	Username    string // "" while not authenticated
	TokenExpiry time.Time
	AuthCount   uint64 // credentials accepted on it
	RemoteAddr  string
}
