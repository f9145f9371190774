// Package systemd tells systemd how a service is doing, by the protocol of
// sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names.
package systemd

import (
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// States that a service tells. Several go into one call of Notify.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Watchdog = "WATCHDOG=1"
)

// Notifier tells the service manager. The zero value tells nobody.
type Notifier struct {
	socket string
	every  time.Duration
}

// New reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment.
func New(env func(name string) string) Notifier {
	n := Notifier{socket: env("NOTIFY_SOCKET")}
	if pid := env("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n // meant for another process of the service
	}
	if usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && n.socket != "" {
		// sd_watchdog_enabled(3) recommends half of the time.
		n.every = max(time.Duration(usec)*time.Microsecond/2, time.Millisecond)
	}
	return n
}

// WatchdogEvery is how often Watchdog is to be told; 0 = never.
func (n Notifier) WatchdogEvery() time.Duration { return n.every }

// Notify sends states, such as Ready and "STATUS=...". It does nothing, and
// returns nil, where no service manager listens.
func (n Notifier) Notify(states ...string) error {
	if n.socket == "" {
		return nil
	}
	// A leading @ stands for the zero byte of an abstract socket; package net
	// reads it so too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(strings.Join(states, "\n")))
	return err
}
