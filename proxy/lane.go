package proxy

const (
	// laneReads is after how many reads of a client it is asked anew which loop it
	// is to be in, manyAtATime how many commands a read has to have brought for
	// the few loops, and fewAtATime fewer than how many for any.
	laneReads   = 64
	manyAtATime = 4
	fewAtATime  = 2
)

// lane says in which loop a client with an upstream of its own is to be. One that
// waits for each reply is best in a loop with few others, as each event costs a
// turn of system calls. Pipelines are best together: one loop carries more of them
// than a Redis does, and a second one only takes its processor away. The zero value
// has a client stay where it is.
type lane struct {
	spread, gathered *loop

	many  bool   // it sends many commands at a time
	reads int    // since it was asked
	seen  uint64 // commands, when it was
}

// read notes that something of the client has been read and sent. It returns
// where the client is to be from here on, or nil if it stays.
func (a *lane) read(commands *commandCount) *loop {
	if a.reads++; a.reads < laneReads {
		return nil
	}
	n := commands.load()
	came := n - a.seen
	a.reads, a.seen = 0, n
	switch {
	case came >= manyAtATime*laneReads:
		a.many = true
	case came < fewAtATime*laneReads:
		a.many = false
	default:
		return nil
	}
	switch {
	case a.spread == a.gathered:
		return nil
	case a.many:
		return a.gathered
	}
	return a.spread
}
