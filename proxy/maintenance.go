package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// maintenanceChannel is where Azure Cache for Redis (Basic, Standard, Premium)
// announces what it is about to do to a node.
// https://github.com/Azure/AzureCacheForRedis/blob/main/AzureRedisEvents.md
const maintenanceChannel = "AzureRedisEvents"

const (
	// maxMaintenance bounds how many types of events are told apart; there are
	// five.
	maxMaintenance = 16

	// maintenanceRefused is the pause behind a refusal to subscribe.
	maintenanceRefused = time.Hour

	maintenancePing = time.Minute
)

// Maintenance is an event that the cache has announced.
type Maintenance struct {
	Type    string    // such as "NodeMaintenanceStarting"
	Start   time.Time // zero if it was not said
	Replica bool      // of a replica; else of the primary
	Heard   time.Time
}

var errNotSubscribed = errors.New("the access policy does not permit to subscribe")

// keepMaintenance listens for events until close.
func (u *upstreams) keepMaintenance(log *slog.Logger, heard func(Maintenance)) {
	for failures := 0; ; {
		c, err := u.ahead()
		if err == nil {
			began := time.Now()
			err = u.listenForMaintenance(c, log, heard)
			c.Close()
			if time.Since(began) > maxSparePause {
				failures = 0
			}
		}
		failures++
		pause := backOff(failures, minSparePause, maxSparePause)
		if errors.Is(err, errNotSubscribed) {
			pause = maintenanceRefused
		}
		log.Log(u.ctx, slog.LevelDebug, "maintenance events are not heard", "cache", u.addr, "error", err, "pause", pause.Round(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-u.ctx.Done():
			return
		}
	}
}

// watchMaintenance has keepMaintenance run.
func (u *upstreams) watchMaintenance(log *slog.Logger, heard func(Maintenance)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.closed {
		u.keepers.Go(func() { u.keepMaintenance(log, heard) })
	}
}

// listenForMaintenance returns when c has ended.
func (u *upstreams) listenForMaintenance(c net.Conn, log *slog.Logger, heard func(Maintenance)) error {
	stop := context.AfterFunc(u.ctx, func() { c.Close() })
	defer stop()
	if _, err := c.Write(resp.AppendCommand(nil, "SUBSCRIBE", maintenanceChannel)); err != nil {
		return err
	}
	r := resp.NewReader(c)
	for asked := true; ; {
		c.SetReadDeadline(time.Now().Add(maintenancePing))
		frame, err := r.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !asked && r.Buffered() == 0:
			if _, err := c.Write(resp.AppendCommand(nil, "PING")); err != nil {
				return err
			}
			asked = true
			r = resp.NewReader(c) // the other one remembers the error
			continue
		case err != nil:
			return err
		case frame[0] == '-':
			return fmt.Errorf("%w: %.100q", errNotSubscribed, frame)
		}
		asked = false
		if payload, ok := strings.CutPrefix(string(frame), "*3\r\n$7\r\nmessage\r\n$16\r\n"+maintenanceChannel+"\r\n$"); ok {
			_, payload, _ = strings.Cut(payload, "\r\n")
			m := parseMaintenance(strings.TrimSpace(payload))
			m.Heard = time.Now()
			log.Info("maintenance of the cache announced", "cache", u.addr, "type", m.Type, "start", m.Start, "replica", m.Replica)
			heard(m)
		}
	}
}

// parseMaintenance reads names and values with a bar between any two.
func parseMaintenance(text string) (m Maintenance) {
	parts := strings.Split(text, "|")
	for i := 0; i+1 < len(parts); i += 2 {
		switch value := parts[i+1]; parts[i] {
		case "NotificationType":
			m.Type = word(value)
		case "StartTimeInUTC":
			m.Start, _ = time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(value, "Z"))
		case "IsReplica":
			m.Replica = strings.EqualFold(value, "true")
		}
	}
	if m.Type == "" {
		m.Type = "unknown"
	}
	return m
}

// word keeps what may stand in a metric's label and a log: it comes from whoever
// may publish on the channel.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
	return s[:min(len(s), 64)]
}

// announced counts an event.
func (s *Stats) announced(m Maintenance) {
	if s.Maintenance == nil {
		s.Maintenance = map[string]uint64{}
	}
	if _, known := s.Maintenance[m.Type]; !known && len(s.Maintenance) >= maxMaintenance {
		m.Type = "unknown"
	}
	s.Maintenance[m.Type]++
	s.LastMaintenance = m
}
