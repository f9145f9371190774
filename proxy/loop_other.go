//go:build !linux

package proxy

import (
	"net"
	"time"

	"github.com/entraredis/entraredis"
)

// loop is there on Linux only: elsewhere each client has goroutines.
type loop struct{ now time.Time }

// seat is the place of a client in a loop.
type seat struct{ who interface{ resume() } }

func newLoop() *loop        { return nil }
func (*loop) close()        {}
func (*loop) touch(*pipe)   {}
func (*seat) claim() bool   { return false }
func (*seat) evict()        {}
func (*session) park() bool { return false }
func (*session) listen()    {}

func pollable(*entraredis.Dialer) {}

func (*pipe) park() bool                                   { return false }
func (*ride) park(begun []byte) (rest []byte, parked bool) { return begun, false }
func (*ride) stand()                                       {}

type polled struct{}

func polledOf(net.Conn) *polled { return nil }
func (*polled) isBehind() bool  { return false }

func hangUp(c net.Conn) { c.Close() }

func (*Proxy) acceptInLoop(net.Listener) (error, bool) { return nil, false }
func (*socket) attach()                                {}
