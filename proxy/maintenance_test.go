package proxy_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/proxy"
)

func withMaintenance(p *proxy.Proxy) { p.MaintenanceEvents = true }

func TestMaintenance(t *testing.T) {
	within(t, withMaintenance, func(d *door) {
		synctest.Wait()
		c := d.connect()
		c.do(":1\r\n", "PUBLISH", "AzureRedisEvents", "NotificationType|NodeMaintenanceStarting|StartTimeInUTC|2026-11-24T18:00:00|IsReplica|False|IPAddress||SSLPort|15001|NonSSLPort|13001")
		synctest.Wait()
		s := d.Stats()
		want := proxy.Maintenance{Type: "NodeMaintenanceStarting", Start: time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC), Heard: s.LastMaintenance.Heard}
		if s.LastMaintenance != want || s.Maintenance["NodeMaintenanceStarting"] != 1 || s.LastMaintenance.Heard.IsZero() {
			t.Errorf("got %+v, %v", s.LastMaintenance, s.Maintenance)
		}
		// Whoever may publish there may write anything.
		c.do(":1\r\n", "PUBLISH", "AzureRedisEvents", "NotificationType|<b>\n\"x|IsReplica|true")
		c.do(":1\r\n", "PUBLISH", "AzureRedisEvents", "hello")
		for i := range 100 {
			c.do(":1\r\n", "PUBLISH", "AzureRedisEvents", "NotificationType|T"+strings.Repeat("x", i))
		}
		synctest.Wait()
		if s := d.Stats(); s.Maintenance["bx"] != 1 || s.Maintenance["unknown"] < 80 || len(s.Maintenance) > 17 {
			t.Errorf("got %v", s.Maintenance)
		}
		pass(5 * tokenLife)
		c.do(":1\r\n", "PUBLISH", "AzureRedisEvents", "NotificationType|NodeMaintenanceEnded")
	})
}

// The connection that listens is replaced when it ends, also if nobody says so.
func TestMaintenanceGoesOn(t *testing.T) {
	for name, end := range map[string]func(u *deaf){
		"closed": func(u *deaf) { u.Close() },
		"silent": func(u *deaf) { u.now.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var all []*deaf
			within(t, func(p *proxy.Proxy) {
				p.MaintenanceEvents = true
				dial := p.Dialer.NetDial
				p.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := dial(ctx, network, addr)
					mu.Lock()
					defer mu.Unlock()
					all = append(all, &deaf{Conn: c})
					return all[len(all)-1], err
				}
			}, func(d *door) {
				synctest.Wait()
				mu.Lock()
				first := all[0]
				mu.Unlock()
				end(first)
				pass(3 * time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if len(all) != 2 {
					t.Fatalf("%d connections, want a second", len(all))
				}
			})
		})
	}
}

// It is no error, and seldom tried again.
func TestMaintenanceNotPermitted(t *testing.T) {
	within(t, nil, func(d *door) {
		defer d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SUBSCRIBE", Body: "NOPERM this user has no permissions"})()
		dialer := &entraredis.Dialer{Source: d.Dialer.Source, Plaintext: true, NetDial: d.dial}
		p := &proxy.Proxy{Dialer: dialer, Addr: "cache:6380", MaintenanceEvents: true}
		other := &door{T: t, conns: make(chan net.Conn), gone: make(chan struct{}), fail: make(chan error)}
		served := make(chan error, 1)
		go func() { served <- p.Serve(other) }()
		pass(30 * time.Minute)
		if n := dialer.Stats().Dials; n != 1 {
			t.Errorf("%d dials in half an hour, want one", n)
		}
		p.Close()
		<-served
	})
}
