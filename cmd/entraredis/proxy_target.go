package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/proxy"
)

const defaultListen = "127.0.0.1:6379"

// leastLimit is what --max-command and --max-reply are at least: HELLO and
// CLIENT SETINFO, with which most clients begin, are to work.
const leastLimit = 1 << 10

// targetOptions are the settings that a target may have of its own.
type targetOptions struct {
	cacheOptions
	name, listen, unix, unixOwner       string
	unixMode                            fileMode
	proxyPasswordFile, tlsCert, tlsKey  string
	allowRemote                         bool
	maxClients, maxDials, spares, pipes uint
	maxCommand, maxReply                byteSize
	upstreams                           proxy.Upstreams
	replyTimeout                        time.Duration
	maintenance                         maintenanceMode
}

func newTargetOptions() *targetOptions {
	return &targetOptions{cacheOptions: newCacheOptions(), unixMode: 0o600, upstreams: proxy.UpstreamsAuto, maintenance: "auto", maxCommand: byteSize{min: leastLimit}, maxReply: byteSize{min: leastLimit}}
}

func (o *targetOptions) registerLocal(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", defaultListen, "`address` for clients; the second target takes the port behind it, and so on; port 0 takes a free one")
	f.StringVar(&o.unix, "unix", "", "`path` of a Unix socket for clients, instead of --listen unless that is given too")
	f.Var(&o.unixMode, "unix-mode", "who may connect to the Unix socket")
	f.StringVar(&o.unixOwner, "unix-owner", "", "`USER[:GROUP]` to own the Unix socket, by name or number")
	f.StringVar(&o.proxyPasswordFile, "proxy-password-file", "", "`file` with a password that clients must send (or set ENTRAREDIS_PROXY_PASSWORD)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the certificate chain of the listener; read again when it changes")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with its key")
	f.BoolVar(&o.allowRemote, "allow-remote", false, "allow addresses beyond loopback without a password and TLS")
	f.UintVar(&o.maxClients, "max-clients", 0, "clients connected at a time; 0 is any number")
	f.Var(&o.maxCommand, "max-command", "most that one command may have, as 64MiB, 64mb or in bytes: a client that sends a larger one is told so and closed; 0 is what the cache takes")
	f.Var(&o.maxReply, "max-reply", "most that one reply or message may have: a client that is due a larger one is told so and closed; 0 is any size")
	f.UintVar(&o.maxDials, "max-dials", 16, "connections to the cache being opened at a time, other clients wait for their turn; 0 is any number")
	f.UintVar(&o.spares, "spares", 1, "connections to the cache kept open ahead of need, so that the next client need not wait for a handshake")
	f.Var(&o.upstreams, "upstreams", "how clients share connections to the cache: auto, shared, or dedicated for one each")
	f.DurationVar(&o.replyTimeout, "reply-timeout", 30*time.Second, "silence after which a shared upstream is taken for dead while replies are due; 0 is never")
	f.UintVar(&o.pipes, "pipes", 0, "upstreams that are shared, unless --upstreams is dedicated; 0 is 2, or half of the processors if that is more")
	f.Var(&o.maintenance, "maintenance-events", "listen for maintenance that the cache announces: on, off, or auto, which is on for Azure Cache for Redis")
	f.StringVar(&o.name, "name", "", "`name` in logs and metrics (default the first label of HOST)")
}

// maintenanceMode is a flag: auto, on or off.
type maintenanceMode string

func (m *maintenanceMode) String() string { return string(*m) }
func (m *maintenanceMode) Type() string   { return "mode" }

func (m *maintenanceMode) Set(s string) error {
	switch s {
	case "auto", "on", "off":
		*m = maintenanceMode(s)
		return nil
	}
	return errors.New(`not "auto", "on" or "off"`)
}

// fileMode is a flag of permission bits.
type fileMode fs.FileMode

func (m *fileMode) String() string { return fmt.Sprintf("%04o", uint32(*m)) }
func (m *fileMode) Type() string   { return "mode" }

func (m *fileMode) Set(s string) error {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("not permission bits such as 0660")
	}
	*m = fileMode(n)
	return nil
}

// target is a targetOptions that is complete, with the address of the cache.
type target struct {
	*targetOptions
	flags *pflag.FlagSet
	addr  string
	place string
}

// listeners says where clients come in. own reports whether a setting was made
// for this target alone.
func (t *target) listeners(s streams, index int) ([]daemon.Listen, error) {
	var all []daemon.Listen
	if t.unix == "" || flagGiven(t.flags, "listen") {
		addr, err := t.tcpAddr(s, index)
		if err != nil {
			return nil, err
		}
		all = append(all, daemon.Listen{Network: "tcp", Address: addr})
	}
	if t.unix == "" {
		return all, nil
	}
	return append(all, daemon.Listen{Network: "unix", Address: t.unix, Mode: fs.FileMode(t.unixMode)}), nil
}

func (t *target) tcpAddr(s streams, index int) (string, error) {
	where := origin(t.flags, "listen")
	host, text, err := net.SplitHostPort(t.listen)
	var port int
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err == nil && port > 0 && !flagGiven(t.flags, "listen") {
		port += index
	}
	if err != nil || port < 0 || port > 65535 {
		return "", &usageError{err: fmt.Errorf("%s: %q is not host:port", where, t.listen), hint: "for example 127.0.0.1:6379"}
	}
	if t.allowRemote || isLoopback(host) {
		return net.JoinHostPort(host, strconv.Itoa(port)), nil
	}
	hint := "listen on 127.0.0.1, set both, or say --allow-remote if the network keeps others out"
	if t.proxyPasswordFile == "" && s.env(envName("proxy-password")) == "" {
		return "", &usageError{err: fmt.Errorf("%s: %s can be reached from other machines, and without a password for clients everybody there would act as this identity", where, t.listen), hint: hint}
	}
	if t.tlsCert == "" {
		return "", &usageError{err: fmt.Errorf("%s: %s can be reached from other machines, and without TLS the password and all data would travel in the clear", where, t.listen), hint: hint}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func lookupOwner(text string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(text, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, 0, err
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return 0, 0, err
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}

// open makes what carries the target's clients. It reads every file anew, and looks
// up the owner of the socket: a user may come to be while the program runs.
func (t *target) open(s streams, log *slog.Logger, onEvent func(entraredis.Event)) (*daemon.Upstream, error) {
	password, err := readSecret(s, t.flags, "proxy-password", t.proxyPasswordFile)
	if err != nil {
		return nil, err
	}
	up := &daemon.Upstream{}
	if t.tlsCert != "" || t.tlsKey != "" {
		pair := &keyPair{cert: t.tlsCert, key: t.tlsKey, log: log}
		if _, err := pair.current(nil); err != nil {
			return nil, &usageError{err: fmt.Errorf("%s, %s: %w", origin(t.flags, "tls-cert"), origin(t.flags, "tls-key"), err), hint: "give a PEM file each"}
		}
		up.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.current}
	}
	if t.unix != "" && t.unixOwner != "" {
		uid, gid, err := lookupOwner(t.unixOwner)
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("%s: %w", origin(t.flags, "unix-owner"), err), hint: "USER, USER:GROUP or :GROUP, by name or number; only root may give a file away"}
		}
		up.Owner = &daemon.Owner{UID: uid, GID: gid}
	}
	dialer, err := t.dialer(s, t.flags, entraredis.Options{Logger: log, OnEvent: onEvent})
	if err != nil {
		return nil, err
	}
	up.Source = dialer.Source
	up.Proxy = &proxy.Proxy{
		Dialer: dialer, Addr: t.addr, MaxClients: int(t.maxClients), MaxDials: int(t.maxDials), Spares: int(t.spares), Logger: log,
		Upstreams: t.upstreams, Pipes: int(t.pipes), ReplyTimeout: t.replyTimeout,
		MaxCommand: t.maxCommand.value, MaxReply: t.maxReply.value,
	}
	host, _, _ := net.SplitHostPort(t.addr)
	up.Proxy.MaintenanceEvents = t.maintenance == "on" || t.maintenance == "auto" && doctor.PublishesMaintenance(host)
	if t.replyTimeout == 0 {
		up.Proxy.ReplyTimeout = -1 // never; zero is the package's default
	}
	if t.maxDials == 0 {
		up.Proxy.MaxDials = -1 // any number; zero is the package's default
	}
	if password != "" {
		up.Proxy.Auth = proxy.Password("", password)
	}
	return up, nil
}

// secretFiles are the files whose content is part of the settings: a change of
// one is a change of the target. Certificates of listeners and assertions are
// read again where they are used.
func (t *target) secretFiles() (paths []string) {
	t.flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "assertion-file" && (strings.HasSuffix(f.Name, "-file") || f.Name == "certificate-path") && f.Value.String() != "" {
			paths = append(paths, f.Value.String())
		}
	})
	return paths
}

func readOrWhy(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
