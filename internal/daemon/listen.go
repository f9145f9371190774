package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/entraredis/entraredis/proxy"
)

// Listen is where clients come in.
type Listen struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or the socket's path

	Mode fs.FileMode // of a socket: who may connect
}

// Owner owns a socket; -1 leaves the process's own user or group.
type Owner struct{ UID, GID int }

func (l Listen) open(ctx context.Context, owner *Owner) (net.Listener, error) {
	if l.Network == "unix" {
		return listenUnix(l, owner)
	}
	tcp, err := (&net.ListenConfig{}).Listen(ctx, l.Network, l.Address)
	if err != nil {
		return nil, err
	}
	return proxy.NewListener(tcp), nil
}

// listenUnix puts the socket in its place only when it has its mode and owner,
// so that nobody connects who may not. A socket that is left over is replaced,
// unless somebody listens on it.
func listenUnix(l Listen, owner *Owner) (net.Listener, error) {
	if err := free(l.Address); err != nil {
		return nil, err
	}
	begun := l.Address + "~"
	if err := os.Remove(begun); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: begun, Net: "unix"})
	if err != nil {
		return nil, err
	}
	own := proxy.NewListener(u)
	err = os.Chmod(begun, l.Mode)
	if err == nil && owner != nil {
		err = os.Chown(begun, owner.UID, owner.GID)
	}
	var made os.FileInfo
	if err == nil {
		made, err = os.Lstat(begun)
	}
	if err == nil {
		err = os.Rename(begun, l.Address)
	}
	if err != nil {
		own.Close()
		os.Remove(begun)
		return nil, fmt.Errorf("listen unix %s: %w", l.Address, err)
	}
	return &socket{Listener: own, path: l.Address, made: made}, nil
}

// free reports whether a socket may take the path.
func free(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen unix %s: a file that is no socket is in the way", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("listen unix %s: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: does somebody listen there: %w", path, err)
	}
	return nil // left over by a process that ended
}

// socket removes its path when it is closed, unless another has taken it.
type socket struct {
	*proxy.Listener
	path string
	made os.FileInfo
	once sync.Once
}

func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
			os.Remove(s.path)
		}
	})
	return s.Listener.Close()
}
