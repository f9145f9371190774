package emulator

import "time"

// Stats are counts since Start.
type Stats struct {
	TokensIssued uint64 // access tokens, without those of Mint
	Auths        uint64 // accepted AUTH and HELLO AUTH, Reauths included
	AuthsRefused uint64
	Reauths      uint64 // accepted on a connection that was authenticated
	Expired      uint64 // connections closed because their token expired
	Connections  int    // open now
	Accepted     uint64 // connections ever opened
	Commands     uint64 // received
}

// Stats returns the counts as they are now.
func (e *Emulator) Stats() Stats {
	s := e.front.Stats()
	return Stats{
		TokensIssued: e.issuer.Issued(),
		Auths:        s.Auths, AuthsRefused: s.AuthsRefused, Reauths: s.Reauths, Expired: s.Expired,
		Connections: s.Connections, Accepted: s.Accepted, Commands: s.Commands,
	}
}

// ConnInfo is an open Redis connection.
type ConnInfo struct {
	ID          uint64
	Username    string    // "" until it has authenticated
	TokenExpiry time.Time // of the token it authenticated with last
	AuthCount   uint64    // accepted AUTHs
	RemoteAddr  string
}

// Connections returns the open Redis connections, oldest first.
func (e *Emulator) Connections() []ConnInfo {
	conns := e.front.Conns()
	out := make([]ConnInfo, len(conns))
	for i, c := range conns {
		out[i] = ConnInfo{ID: c.ID, Username: c.Username, TokenExpiry: c.TokenExpiry, AuthCount: c.AuthCount, RemoteAddr: c.RemoteAddr}
	}
	return out
}
