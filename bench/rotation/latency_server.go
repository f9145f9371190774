package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// place is where an emulator in another process listens.
type place struct {
	RedisAddr, IssuerURL, TenantID, ServerName string
	CA                                         []byte
}

// serveEmulator runs an emulator until in ends. It writes its place to out first, and its Stats at the end.
func serveEmulator(ctx context.Context, lifetime time.Duration, in io.Reader, out io.Writer) error {
	e, err := emulator.Start(ctx, emulator.Options{TokenLifetime: lifetime})
	if err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	defer e.Close()
	enc := json.NewEncoder(out)
	if err := enc.Encode(place{e.RedisAddr(), e.IssuerURL(), e.TenantID(), e.TLSConfig().ServerName, e.CAPEM()}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	return enc.Encode(e.Stats())
}

// A neighbor is an emulator in a process of its own, so that its goroutines and its garbage are not those of the client
// whose latency is measured.
type neighbor struct {
	place
	cmd   *exec.Cmd
	stdin io.Closer
	out   *json.Decoder
}

func startNeighbor(ctx context.Context, lifetime time.Duration) (*neighbor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "emulator", lifetime.String())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	n := &neighbor{cmd: cmd, stdin: stdin, out: json.NewDecoder(stdout)}
	if err := n.out.Decode(&n.place); err != nil {
		_, _ = n.stop()
		return nil, fmt.Errorf("emulator: %w", err)
	}
	return n, nil
}

// stop ends the process and returns what it counted. It may be called again.
func (n *neighbor) stop() (emulator.Stats, error) {
	var s emulator.Stats
	_ = n.stdin.Close()
	err := n.out.Decode(&s)
	if waited := n.cmd.Wait(); err == nil {
		err = waited
	}
	return s, err
}
