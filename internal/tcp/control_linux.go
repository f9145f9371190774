package tcp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func giveUp(after time.Duration) func(string, string, syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		switch network {
		case "tcp", "tcp4", "tcp6":
			// Without it the connection is as good as without this package.
			c.Control(func(fd uintptr) {
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
			})
		}
		return nil
	}
}
