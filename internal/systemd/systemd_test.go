package systemd_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/systemd"
)

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestNotify(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "n")}
	switch runtime.GOOS {
	case "windows":
		t.Skip("no datagrams on Unix sockets")
	case "linux":
		names = append(names, "@entraredis-test-"+strconv.Itoa(os.Getpid()))
	}
	for _, name := range names {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		n := systemd.New(environment(map[string]string{"NOTIFY_SOCKET": name}))
		if err := n.Notify(systemd.Ready, "STATUS=fine"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		got, err := l.Read(b)
		if err != nil || string(b[:got]) != "READY=1\nSTATUS=fine" {
			t.Errorf("%s: got %q, %v", name, b[:got], err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	if err := (systemd.Notifier{}).Notify(systemd.Ready); err != nil {
		t.Errorf("without NOTIFY_SOCKET: got %v", err)
	}
	n := systemd.New(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")}))
	if err := n.Notify(systemd.Ready); err == nil {
		t.Error("a socket that is not there: got no error")
	}
}

func TestWatchdogEvery(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		socket, usec, pid string
		want              time.Duration
	}{
		{"s", "30000000", "", 15 * time.Second},
		{"s", "30000000", own, 15 * time.Second},
		{"s", "30000000", "1", 0},
		{"", "30000000", own, 0},
		{"s", "", own, 0},
		{"s", "-5", own, 0},
		{"s", "soon", own, 0},
		{"s", "1", own, time.Millisecond},
	} {
		n := systemd.New(environment(map[string]string{"NOTIFY_SOCKET": tt.socket, "WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": tt.pid}))
		if got := n.WatchdogEvery(); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}
