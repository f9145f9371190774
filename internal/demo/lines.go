package demo

import (
	"context"
	"fmt"
	"io"
	"time"
)

// showLines writes one line a second, without control characters, until ctx ends.
func showLines(ctx context.Context, b *board, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s with tokens of %s: go-redis and redigo through entraredis, and a plain go-redis\n", b.duration, b.lifetime); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if _, err := fmt.Fprintln(w, b.oneLine(now)); err != nil {
				return err
			}
		}
	}
}

func (b *board) oneLine(now time.Time) string {
	ours, plain := sides(b.read(now))
	return fmt.Sprintf("%4.0fs  ours: %s commands (%.0f/s), %d failed, %d connections, %d dropped, %d re-AUTHs, token %s | plain: %s commands, %d failed, %d dropped, token %s",
		now.Sub(b.start).Seconds(),
		thousands(ours.commands), ours.rate, ours.failed, ours.connections, ours.dropped, ours.reauths, seconds(ours.expiresIn),
		thousands(plain.commands), plain.failed, plain.dropped, seconds(plain.expiresIn))
}
