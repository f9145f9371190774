package proxy

// ride is a client on an upstream of its own: the loop carries for it, or two
// goroutines do.
type ride struct {
	*client
	line   *line
	loop   *loop // where it is, or was last
	lane   lane
	unhook func() bool // from ctx
	stage  *stage      // nil if the client never shares

	// Of whoever has the ride: its goroutine, or the loop.
	polled *polled // while the loop has it
	out    []byte  // replies that the client has not taken
	more   bool    // there may be more of them, which have been read below
	lost   error   // what reading from upstream ended with
	left   bool    // the client sends no more
}

// goOn carries, begun first. It returns errParked if the ride is the loop's now.
func (r *ride) goOn(begun []byte) error {
	begun, parked := r.park(begun)
	if parked {
		return errParked
	}
	return r.arrive(r.carry(begun))
}

// resume goes on with a ride that was the loop's.
func (r *ride) resume() {
	r.stand()
	r.pursue()
}

// pursue is resume in a goroutine that has the sockets.
func (r *ride) pursue() {
	var err error
	switch {
	case r.lost == nil || len(r.out) > 0:
		err = r.arrive(r.carry(nil))
	case r.client.restore(r.line):
		r.lost = nil
		err = r.goOn(nil)
	default:
		err = r.arrive(upstreamEnded(r.lost))
	}
	if err != errParked {
		r.client.over(err)
	}
}

// arrive is the end of a ride.
func (r *ride) arrive(err error) error {
	r.unhook()
	r.commands.end()
	r.line.close()
	return err
}

// carry carries with two goroutines, until client or upstream end.
func (r *ride) carry(begun []byte) (err error) {
	upEnded, downEnded := make(chan error, 1), make(chan error, 1)
	go func() { upEnded <- r.carryUp(r.line, begun) }()
	go func() { downEnded <- r.carryDown(r.line, r.out) }()
	select {
	case err = <-upEnded:
		if err == errLeft {
			r.awaitReplies(downEnded)
		}
		r.end(err)
		err = why(err, <-downEnded)
	case err = <-downEnded:
		r.end(err)
		<-upEnded
	}
	return err
}
