package main

import (
	"fmt"
	"sync"
)

// counts are what the scenarios of one row have done and seen.
type counts struct {
	Commands     int64 // that succeeded, those below included
	Messages     int64 // received by the subscribers
	Pops         int64 // BLPOPs that were served
	Timeouts     int64 // BLPOPs that ended with nothing, as they had to
	Entries      int64 // of a stream, read by a group and acknowledged
	Late         int64 // pops and entries that came only after the end of the token their connection had begun with
	Transactions int64 // EXECs that went through
	Raced        int64 // EXECs that did not, as they had to
	Scripts      int64
	Hits         int64 // reads answered by the client's cache
	Holds        int64 // connections that were the same at the end as at the beginning

	Failed    int64 // commands with an error or a wrong reply
	Lost      int64
	Repeated  int64
	Reordered int64

	FirstError string
}

// tally is counts that many goroutines add to.
type tally struct {
	mu sync.Mutex
	c  counts
}

func (t *tally) add(change func(*counts)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.c)
}

// fail counts a failure and keeps the words of the first.
func (t *tally) fail(scenario string, err error) {
	t.add(func(c *counts) {
		c.Failed++
		if c.FirstError == "" {
			c.FirstError = fmt.Sprintf("%s: %v", scenario, err)
		}
	})
}

// take adds what a sequence has seen, of so many that were sent.
func (t *tally) take(q *sequence, sent int64) {
	t.add(func(c *counts) {
		c.Lost += q.lost(sent)
		c.Repeated += q.repeated
		c.Reordered += q.reordered
		c.Failed += q.strange
		if q.strange > 0 && c.FirstError == "" {
			c.FirstError = fmt.Sprintf("%d messages hold no number", q.strange)
		}
	})
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c
}
