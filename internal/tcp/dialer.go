// Package tcp dials a cache so that a peer that is gone is noticed.
package tcp

import (
	"net"
	"time"
)

// UserTimeout is for how long the peer may leave what was sent without an
// acknowledgement, or take nothing, on Linux: TCP_USER_TIMEOUT of tcp(7). Otherwise
// the system goes on sending for a quarter of an hour, and keep-alive probes say
// nothing meanwhile. It is long enough for a cache that is busy with one command.
const UserTimeout = time.Minute

// Dialer returns one with keep-alive probes of that period, and UserTimeout.
func Dialer(keepAlive time.Duration) *net.Dialer {
	return &net.Dialer{KeepAlive: keepAlive, Control: control}
}
