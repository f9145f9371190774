package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/proxy"
)

// door is where a private proxy listens.
type door struct {
	proxy    *proxy.Proxy
	port     string
	password string
	dir      string // "" without a socket
	served   chan error
	doors    int
}

const loopback = "127.0.0.1"

// openDoor serves the cache on a loopback port and, if asked, on a Unix socket.
func openDoor(d *entraredis.Dialer, addr string, socket bool) (_ *door, err error) {
	dr := &door{password: rand.Text(), served: make(chan error, 2)}
	dr.proxy = &proxy.Proxy{Dialer: d, Addr: addr, Auth: proxy.Password("", dr.password)}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			os.RemoveAll(dr.dir)
		}
	}()
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return nil, err
	}
	listeners = append(listeners, l)
	if _, dr.port, err = net.SplitHostPort(l.Addr().String()); err != nil {
		return nil, err
	}
	if socket {
		if dr.dir, err = os.MkdirTemp("", "entraredis-"); err != nil { // mode 0700
			return nil, err
		}
		l, err := net.Listen("unix", dr.socket())
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		go func() { dr.served <- dr.proxy.Serve(l) }()
	}
	dr.doors = len(listeners)
	return dr, nil
}

func (d *door) socket() string { return filepath.Join(d.dir, "redis.sock") }

// close ends the proxy and its clients. The command has ended, so only what it
// left behind can still be one.
func (d *door) close() {
	d.proxy.Close()
	for range d.doors {
		<-d.served
	}
	if d.dir != "" {
		os.RemoveAll(d.dir)
	}
}

// places are the values of the placeholders.
func (d *door) places() map[string]string {
	return map[string]string{
		"url":      fmt.Sprintf("redis://:%s@%s:%s/0", d.password, loopback, d.port),
		"host":     loopback,
		"port":     d.port,
		"password": d.password,
		"socket":   d.socket(),
	}
}

var (
	placeholder = regexp.MustCompile(`\{([a-z]+)\}`)
	placeNames  = []string{"url", "host", "port", "password", "socket"}
)

// templates are the variables to set, "NAME=TEMPLATE" each.
type templates []string

var errNoName = errors.New("is not NAME=TEMPLATE")

// parseTemplates checks what --env said, and puts REDIS_URL first.
func parseTemplates(given []string, flags *pflag.FlagSet) (templates, error) {
	hint := "the placeholders are {" + strings.Join(placeNames, "}, {") + "}"
	for _, pair := range given {
		name, template, ok := strings.Cut(pair, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \x00") {
			return nil, &usageError{err: fmt.Errorf("%s: %q %w", origin(flags, "env"), pair, errNoName), hint: hint}
		}
		for _, place := range placeholder.FindAllStringSubmatch(template, -1) {
			if !slices.Contains(placeNames, place[1]) {
				return nil, &usageError{err: fmt.Errorf("%s: %s: unknown placeholder %s", origin(flags, "env"), name, place[0]), hint: hint}
			}
		}
	}
	return append(templates{"REDIS_URL={url}"}, given...), nil
}

// use reports whether a template has the placeholder.
func (t templates) use(place string) bool {
	return slices.ContainsFunc(t, func(pair string) bool { return strings.Contains(pair, "{"+place+"}") })
}

// fill returns the variables, with the placeholders in their values replaced.
func (t templates) fill(places map[string]string) []string {
	var env []string
	for _, pair := range t {
		name, template, _ := strings.Cut(pair, "=")
		env = append(env, name+"="+placeholder.ReplaceAllStringFunc(template, func(p string) string { return places[strings.Trim(p, "{}")] }))
	}
	return env
}
