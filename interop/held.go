package main

import (
	"context"
	"fmt"
	"strconv"
)

// heldIdle checks out a connection, leaves it alone, and uses it again at the end.
func heldIdle(ctx context.Context, w *work, ready func()) error {
	return w.hold(ctx, "held", func(held) {
		ready()
		select {
		case <-w.stop:
		case <-ctx.Done():
		}
	})
}

// openTransactions takes its time between the commands of a transaction, which clients send at once when left to themselves.
func openTransactions(ctx context.Context, w *work, ready func()) error {
	return w.hold(ctx, "open", func(h held) {
		key := w.key("open", 0)
		for n := 0; ; n++ {
			for _, step := range []struct {
				want    string
				command []string
			}{
				{"OK", []string{"WATCH", key}},
				{"OK", []string{"MULTI"}},
				{"QUEUED", []string{"SET", key, strconv.Itoa(n)}},
				{"QUEUED", []string{"GET", key}},
				{fmt.Sprintf("[OK %d]", n), []string{"EXEC"}},
			} {
				// Between any two, but not for ever inside the transaction when the row is over.
				w.pause(ctx, w.block/4)
				if err := w.expectOn(ctx, h, step.want, step.command...); err != nil {
					w.tally.fail("open transaction", err)
				}
			}
			w.tally.add(func(c *counts) { c.Transactions++ })
			ready()
			if !w.pause(ctx, w.pace) {
				return
			}
		}
	})
}

// hold lends a connection to fn, and looks whether it is the same one before and after.
func (w *work) hold(ctx context.Context, name string, fn func(held)) error {
	h, err := w.driver.Hold(ctx, w.key(name, 0))
	if err != nil {
		return err
	}
	defer h.Close()
	before, err := w.on(ctx, h, "CLIENT", "ID")
	if err != nil {
		return err
	}
	fn(h)
	after, err := w.on(ctx, h, "CLIENT", "ID")
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("connection was %s and is %s", before, after)
	}
	w.tally.add(func(c *counts) { c.Holds++ })
	return nil
}
