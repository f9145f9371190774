//go:build !unix

package proxy

import "net"

// socket is the system's side of a connection, which is not used here.
type socket struct{ net.Conn }

func socketOf(net.Conn) *socket                                  { return nil }
func (*socket) tryWrite([]byte) int                              { return 0 }
func (*socket) read(func() []byte, func([]byte)) ([]byte, error) { panic("no socket") }
