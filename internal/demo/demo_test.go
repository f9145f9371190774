package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// waitFor polls until ok, and gives up after a minute.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// The demo is worth something only if it sees a failure of ours.
func TestLostConnectionsOfOursAreSeen(t *testing.T) {
	st, err := newStage(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	c, err := newCast(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	b := newBoard(c.rows, Options{Duration: time.Minute, TokenLifetime: time.Minute}, time.Now())
	stop := c.start()
	commandsOf := func() (n uint64) {
		ours, _ := sides(b.read(time.Now()))
		return ours.commands
	}
	waitFor(t, "commands of ours", func() bool { return commandsOf() > 100 })

	if ours, _ := sides(b.read(time.Now())); ours.failed != 0 || ours.dropped != 0 || st.openConnections() != ours.opened {
		t.Errorf("before: %d failed, %d dropped, %d open of %d", ours.failed, ours.dropped, st.openConnections(), ours.opened)
	}
	// Every token expires at once, and no login is accepted.
	clear := st.emulator.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "WRONGPASS invalid username-password pair"})
	defer clear()
	st.emulator.Advance(2 * time.Minute)
	waitFor(t, "failures of ours", func() bool {
		ours, _ := sides(b.read(time.Now()))
		return ours.failed > 0 && ours.dropped > 0
	})
	stop()
	if alive := c.checkIdle(t.Context()); alive != 0 {
		t.Errorf("idle pool: got %d alive, want 0", alive)
	}
	waitFor(t, "the emulator to see the last of ours gone", func() bool { return st.openConnections() == 0 })
	if err := b.summary(time.Now(), 0).Err(); err == nil || !strings.Contains(err.Error(), "connections were dropped") {
		t.Errorf("verdict: got %v", err)
	}
}

func TestStageWithoutARoomForItsFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	t.Setenv("TMP", missing)
	if _, err := newStage(t.Context(), time.Minute); err == nil {
		t.Error("got no error without a directory for temporary files")
	}
}

func TestDemoThatCannotStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	_, err := Run(ctx, Options{Duration: 10 * time.Second, TokenLifetime: 5 * time.Second, Out: &out})
	if err == nil {
		t.Error("got no error with an ended context")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}
