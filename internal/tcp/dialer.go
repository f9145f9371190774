// Package tcp dials a cache so that a peer that is gone is noticed.
package tcp

import (
	"net"
	"time"
)

// silence is for how long the peer may leave what was sent without an
// acknowledgement, or take nothing, on Linux. Otherwise the system goes on sending for
// a quarter of an hour, and keep-alive probes say nothing meanwhile. It is long enough
// for a cache that is busy with one command.
const silence = time.Minute

// Dialer returns one with keep-alive probes of that period, which gives up a peer that
// is silent (TCP_USER_TIMEOUT of tcp(7)). The first probe goes out when the period is
// over, and the system counts from before: so that is added.
func Dialer(keepAlive time.Duration) *net.Dialer {
	return &net.Dialer{KeepAlive: keepAlive, Control: giveUp(silence + max(keepAlive, 0))}
}
