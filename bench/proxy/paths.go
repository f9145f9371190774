package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The ways to Redis.
const (
	direct    = "direct"
	plain     = "plain" // no TLS at all: what the crypto of direct costs
	haproxy   = "haproxy"
	stunnel   = "stunnel"
	twemproxy = "twemproxy" // has no TLS: its upstream is plain
	bare      = "bare"      // nothing but the system calls and TLS of a relay
	dedicated = "dedicated"
	shared    = "shared"
	auto      = "auto"
)

var pathNames = []string{direct, plain, haproxy, stunnel, twemproxy, bare, dedicated, shared, auto}

// path is one of them, running.
type path struct {
	name  string
	addr  string   // where a client connects
	admin string   // where ours has its metrics
	proxy *process // nil without one
}

// ours says whether a failure of the path is one of this project.
func (p path) ours() bool { return p.name == dedicated || p.name == shared || p.name == auto }

// authenticates says whether a client has to send its token itself.
func (p path) authenticates() bool { return !p.ours() }

// open starts what the path needs, ours with more flags.
func (w *world) open(ctx context.Context, name string, more ...string) (p path, err error) {
	p.name = name
	switch name {
	case direct:
		p.addr = w.tls
		return p, nil
	case plain:
		p.addr = w.plain
		return p, nil
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return p, err
	}
	p.addr = addrs[0]
	switch name {
	case haproxy:
		p.proxy, err = w.startPeer(ctx, p, "haproxy", "haproxy", fmt.Sprintf(haproxyConfig, p.addr, w.tls, w.certFile, hostName), "-db", "-f")
	case stunnel:
		p.proxy, err = w.startPeer(ctx, p, "stunnel", "stunnel4", fmt.Sprintf(stunnelConfig, p.addr, w.tls, w.certFile, hostName))
	case twemproxy:
		p.proxy, err = w.startPeer(ctx, p, "nutcracker", "nutcracker", fmt.Sprintf(twemproxyConfig, p.addr, w.plain), "-s", port(addrs[1]), "-c")
	case bare:
		p.proxy, err = w.startBare(ctx, p)
	default:
		p.admin = addrs[1]
		cache, certified, ca := w.tls, hostName, w.certFile
		if w.front {
			cache, certified, ca = w.issuer.RedisAddr(), w.issuer.Host(), w.issuerCA()
		}
		command := []string{w.entraredis, "proxy", cache, "--listen", p.addr, "--admin", p.admin, "--credential", "environment",
			"--cache-ca-file", ca, "--server-name", certified, "--upstreams", name, "--log-level", "warn"}
		p.proxy, err = start(ctx, name, w.env(), addrs, append(command, more...)...)
	}
	return p, err
}

//go:embed bare/bare.c
var bareSource string

// startBare builds bare and starts it.
func (w *world) startBare(ctx context.Context, p path) (*process, error) {
	cc, err := tool("cc", "gcc libssl-dev")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(w.dir, "bare")
	build := exec.CommandContext(ctx, cc, "-O2", "-o", program, "-x", "c", "-", "-lssl", "-lcrypto")
	build.Stdin = strings.NewReader(bareSource)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build bare: %w (it needs OpenSSL's headers: apt-get install libssl-dev, or leave it out with --paths): %s", err, tail(string(out)))
	}
	return start(ctx, p.name, nil, []string{p.addr}, program, port(p.addr), port(w.tls), w.certFile, hostName)
}

// startPeer starts a program of package pkg with a configuration file as its last argument.
func (w *world) startPeer(ctx context.Context, p path, program, pkg, config string, args ...string) (*process, error) {
	program, err := tool(program, pkg)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, p.name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, p.name, nil, []string{p.addr}, append(append([]string{program}, args...), file)...)
}

const haproxyConfig = `global
  maxconn 9000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen redis
  bind %s backlog 4096
  server redis %s ssl verify required ca-file %s verifyhost %[4]s sni str(%[4]s)
`

const stunnelConfig = `foreground = yes
pid =
[redis]
client = yes
accept = %s
connect = %s
CAfile = %s
verifyChain = yes
checkHost = %[4]s
sni = %[4]s
`

const twemproxyConfig = `redis:
  listen: %s
  redis: true
  backlog: 4096
  hash: fnv1a_64
  distribution: ketama
  servers:
   - %s:1
`
