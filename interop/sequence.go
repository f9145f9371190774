package main

import "strconv"

// sequence checks that the numbers 1, 2, 3, ... arrive each once and in order. It is not safe for concurrent use.
type sequence struct {
	last      int64
	missing   map[int64]bool // passed over so far
	seen      int64
	repeated  int64
	reordered int64
	strange   int64 // what was no number
}

func (q *sequence) see(payload string) {
	n, err := strconv.ParseInt(payload, 10, 64)
	if err != nil || n < 1 {
		q.strange++
		return
	}
	switch {
	case n > q.last:
		for m := q.last + 1; m < n; m++ {
			if q.missing == nil {
				q.missing = map[int64]bool{}
			}
			q.missing[m] = true
		}
		q.last = n
		q.seen++
	case q.missing[n]:
		delete(q.missing, n)
		q.reordered++
		q.seen++
	default:
		q.repeated++
	}
}

// lost is how many of the numbers up to sent have not come.
func (q *sequence) lost(sent int64) int64 { return int64(len(q.missing)) + max(0, sent-q.last) }
