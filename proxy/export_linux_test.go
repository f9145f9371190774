package proxy

// Seats counts the connections in each loop.
func Seats(p *Proxy) (n []int) {
	for _, l := range p.loops {
		l.mu.Lock()
		n = append(n, len(l.seats))
		l.mu.Unlock()
	}
	return n
}
