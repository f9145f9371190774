package entraredis

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
	"github.com/entraredis/entraredis/internal/resp"
)

// Restorable reports whether another connection of the same Dialer can take
// this one's place once it has ended: nothing is due, and Restore can repeat all
// that was set and subscribed. It is part of no interface, and for who hands
// connections out.
func (c *conn) Restorable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tail) == 0 && c.tracker.Restorable()
}

// Restore sets and subscribes on another connection of the same Dialer, which is
// new, what stands on this one: protocol, database, names, subscriptions.
// Messages that come meanwhile are given to deliver, and are valid during the
// call. The connection must be Restorable, and nobody else may use either.
func (c *conn) Restore(on net.Conn, deliver func([]byte) error) error {
	c.mu.Lock()
	stands, protocol := c.tracker.Standing(), c.tracker.Protocol()
	c.mu.Unlock()
	if err := on.SetDeadline(time.Now().Add(c.authTimeout())); err != nil {
		return err
	}
	settings := stands.Settings()
	if protocol != 2 {
		settings = append([][]byte{resp.AppendCommand(nil, "HELLO", strconv.Itoa(protocol))}, settings...)
	}
	r := resp.NewReader(on)
	for _, command := range settings {
		if _, err := on.Write(command); err != nil {
			return err
		}
		reply, err := r.ReadFrame()
		if err != nil {
			return err
		}
		if reply[0] == '-' {
			return &refusedError{string(bytes.TrimSpace(reply[1:]))}
		}
	}
	for _, s := range stands.Since(nil) {
		if err := resubscribe(on, r, s, deliver); err != nil {
			return fmt.Errorf("subscriptions: %w", err)
		}
	}
	if rest := r.Rest(); len(rest) > 0 {
		if err := deliver(rest); err != nil {
			return err
		}
	}
	return on.SetDeadline(time.Time{})
}

// resubscribe keeps the confirmations from the client.
func resubscribe(on net.Conn, r *resp.Reader, s reauth.Subscribe, deliver func([]byte) error) error {
	if _, err := on.Write(s.Command); err != nil {
		return err
	}
	confirms := []byte("3\r\n$" + strconv.Itoa(len(s.Confirms)) + "\r\n" + s.Confirms + "\r\n")
	for due := s.Count; due > 0; {
		frame, err := r.ReadFrame()
		switch {
		case err != nil:
			return err
		case frame[0] == '-':
			return &refusedError{string(bytes.TrimSpace(frame[1:]))}
		case bytes.HasPrefix(frame[1:], confirms):
			due--
		case frame[0] != '*' && frame[0] != '>':
			return errors.New("an answer that nobody asked for")
		default:
			if err := deliver(frame); err != nil {
				return err
			}
		}
	}
	return nil
}
