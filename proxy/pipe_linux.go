package proxy

import "os"

// maxReads bounds how often one pipe may read while others wait for their turn: a
// record of TLS, of 16 KiB, at a time.
const maxReads = 8

// park lets the loop have a pipe, to read from it, and to write what was not
// taken at once. If it reports true, the reading side is no longer the caller's.
func (p *pipe) park() bool {
	if p.polled == nil || !p.polled.begin(&p.seat) {
		return false
	}
	p.mu.Lock()
	p.patient = true
	p.mu.Unlock()
	if p.polled.tried.detach() && p.loop.sit(&p.seat, p, nil, p.polled.tried.socket) {
		p.seat.await(upstreamSock, pollIn|pollOut) // some may have been read, and not had
		if p.seat.release() {
			return true
		}
		p.seat.leave()
	}
	p.stand()
	return false
}

// stand is the inverse of park, for who reads.
func (p *pipe) stand() {
	p.endPatience()
	p.polled.tried.attach()
	p.polled.end()
	p.unstick()
}

// turn reads what upstream has sent, and writes what it did not take before.
func (p *pipe) turn(l *loop, _ int, events uint32) bool {
	l.piped = true
	t := p.polled.tried
	if events&pollOut != 0 && t.flush() {
		p.unstick()
	}
	t.lend(l.wire[:largeBuffer])
	defer t.takeBack()
	stays := p.readNow(l)
	p.reader.flush()
	return stays && len(p.reader.slow) == 0
}

// readNow reads as much as one turn may. It reports whether the pipe goes on.
func (p *pipe) readNow(l *loop) bool {
	for range maxReads {
		n, err := p.conn.Read(l.plain[:])
		if err == os.ErrDeadlineExceeded {
			return true
		}
		if err == nil {
			err = p.got(l.plain[:n], l.now)
		}
		if p.failed = err; err != nil {
			return false
		}
	}
	l.later(&p.seat)
	return true
}

func (p *pipe) quits() bool { return false }

func (p *pipe) leaves() bool { return p.hasEnded() }

func (p *pipe) resume() {
	p.stand()
	p.read()
}
