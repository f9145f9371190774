package main

import (
	"context"
	"errors"
	"time"

	"github.com/entraredis/entraredis"
)

// target is where a client is to connect and how.
type target struct {
	topology string
	seed     string // the one address the client is given; of the Sentinel, if there is one
	protocol int    // 2 or 3
	dialer   *entraredis.Dialer
}

// poolSize is the number of connections of each pool of a client, so that pools are full before anything is counted.
const poolSize = 14

// driver drives one client in the way of that client's own documentation. Commands begin with a name and a key. All methods are
// called concurrently.
type driver interface {
	// Do runs a plain command and returns its reply as text; nothing is "".
	Do(ctx context.Context, command ...string) (string, error)
	// Pipeline runs commands on keys of one slot together.
	Pipeline(ctx context.Context, commands [][]string) ([]string, error)
	// Increment is WATCH, GET, MULTI, SET, EXEC. The error is errRaced if another was faster.
	Increment(ctx context.Context, key string) error
	// Eval runs a script of one key and one argument by the client's own means: EVALSHA, and EVAL if it is not loaded.
	Eval(ctx context.Context, script, key, arg string) (string, error)
	// Pop is BLPOP. ok is false if the limit passed; 0 is no limit.
	Pop(ctx context.Context, key string, limit time.Duration) (value string, ok bool, err error)
	// Read is XREADGROUP of one new entry, with BLOCK; 0 is no limit.
	Read(ctx context.Context, stream, group, consumer string, limit time.Duration) (entry entry, ok bool, err error)
	// Subscribe returns once the subscription to the channel, or to a pattern of channels, stands, and calls fn with each
	// message, one at a time, until it is ended.
	Subscribe(ctx context.Context, channel string, pattern bool, fn func(payload string)) (end func(), err error)
	// Publish goes through one and the same primary each time: a cluster keeps no order between two.
	Publish(ctx context.Context, channel, payload string) error
	// Hold takes one connection to the key's primary out of the pool.
	Hold(ctx context.Context, key string) (held, error)
	Close()
}

// cacher is a driver with a client-side cache.
type cacher interface {
	// Cached is GET; hit reports that the server was not asked.
	Cached(ctx context.Context, key string) (value string, hit bool, err error)
}

// held is one connection that stays checked out.
type held interface {
	// Do is driver.Do on this connection.
	Do(ctx context.Context, command ...string) (string, error)
	// Close puts it back.
	Close()
}

// entry of a stream.
type entry struct{ id, value string }

// field of a stream's entry that holds the value.
const field = "n"

// errRaced says that a watched key was changed by somebody else: no failure.
var errRaced = errors.New("watched key was changed")

// cacheLife is how long clients may cache a value: far longer than a run, so that only an invalidation ends it.
const cacheLife = time.Hour
