package rueidisentra

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/redis/rueidis"
)

// Option returns option with its connections authenticated from source, and
// re-AUTHed soon after source has refreshed its token. It sets
// AuthCredentialsFn, and wraps DialCtxFn to tell the connections apart; every
// other field is kept. DisableTCPNoDelay has no effect on wrapped connections.
//
// The hook it sets never fails while source holds a valid token. It waits for
// one only while none is held, at most as long as the Source's own request
// timeout: rueidis passes no context. A connection that already has the token
// source holds is not re-AUTHed with it again; it is asked to come back later.
//
// The caller keeps the ownership of source and closes it after the client.
func Option(source *entraredis.Source, option rueidis.ClientOption) rueidis.ClientOption {
	option.DialCtxFn = markedDial(option)
	option.AuthCredentialsFn = func(c rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
		attempt := source.Status().NextAttempt // before Token: an old attempt for a new token only means to ask sooner
		token, err := source.Token(context.Background())
		if err != nil {
			return rueidis.AuthCredentials{}, err
		}
		answer := rueidis.AuthCredentials{
			RefreshAfter: refreshAfter(time.Now(), attempt, token.ExpiresOn, rand.Float64()),
		}
		m, marked := c.Address.(*mark)
		if marked && m.held == token.Password() {
			return answer, nil
		}
		if marked {
			m.held = token.Password()
		}
		answer.Username, answer.Password = token.Username, token.Password()
		return answer, nil
	}
	return option
}

// A mark is a connection's remote address, and what the hook knows of that
// connection. The hook is called alike for a new connection, which must have
// credentials, and for a live one, which needs none while the token is
// unchanged; the address is all it is told.
type mark struct {
	net.Addr
	held string // the access token last handed out; rueidis asks for one connection from one goroutine at a time
}

type markedConn struct {
	net.Conn
	mark mark
}

func (c *markedConn) RemoteAddr() net.Addr { return &c.mark }

// markedDial dials as option says, or as rueidis would by itself.
func markedDial(option rueidis.ClientOption) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	dial := option.DialCtxFn
	if dial == nil {
		dial = func(ctx context.Context, addr string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
			if option.DialFn != nil {
				return option.DialFn(addr, d, config)
			}
			if config == nil {
				return d.DialContext(ctx, "tcp", addr)
			}
			return (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, "tcp", addr)
		}
	}
	return func(ctx context.Context, addr string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, addr, d, config)
		if err != nil {
			return nil, err
		}
		return &markedConn{Conn: conn, mark: mark{Addr: conn.RemoteAddr()}}, nil
	}
}
