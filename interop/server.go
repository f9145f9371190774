package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// startLimit bounds how long a server may take until it answers.
const startLimit = 20 * time.Second

// adminUser sets up the servers. The default user is switched off, as on Azure.
const adminUser = "admin"

// launcher starts redis-server processes that take nothing but TLS.
type launcher struct {
	binary   string
	dir      string // holds configurations with a password in them: nobody else's to read
	cert     certificate
	password string // of adminUser
	servers  []*server
}

// server is one redis-server process, a Sentinel included.
type server struct {
	name  string
	addr  string // host:port, the host an IP
	port  int
	bus   int // port of the cluster's own traffic
	admin *redis.Client

	process *exec.Cmd
	output  *bytes.Buffer // of the process; to be read once ended is closed
	ended   chan struct{}
}

// newLauncher takes the binary from ENTRAREDIS_REDIS_SERVER, or else from PATH.
func newLauncher(dir, password string) (*launcher, error) {
	binary := os.Getenv("ENTRAREDIS_REDIS_SERVER")
	if binary == "" {
		binary = "redis-server"
	}
	binary, err := exec.LookPath(binary)
	if err != nil {
		return nil, fmt.Errorf("find redis-server (install Redis 7 or newer, or say where it is in ENTRAREDIS_REDIS_SERVER): %w", err)
	}
	cert, err := newCertificate(dir)
	if err != nil {
		return nil, err
	}
	return &launcher{binary: binary, dir: dir, cert: cert, password: password}, nil
}

// start starts a server and waits until it answers. Extra makes further lines of configuration once the server's ports
// are known.
func (l *launcher) start(ctx context.Context, name string, extra func(*server) []string, args ...string) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, port: ports[0], bus: ports[1], output: &bytes.Buffer{}, ended: make(chan struct{})}
	s.addr = fmt.Sprintf("127.0.0.1:%d", s.port)
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lines := []string{
		"bind 127.0.0.1",
		"port 0",
		fmt.Sprintf("tls-port %d", s.port),
		"tls-cert-file " + quote(l.cert.certFile),
		"tls-key-file " + quote(l.cert.keyFile),
		"tls-ca-cert-file " + quote(l.cert.certFile),
		"tls-auth-clients no",
		"tls-replication yes",
		"dir " + quote(dir),
		"loglevel notice",
		"user default off",
		"user " + adminUser + " on >" + l.password + " ~* &* +@all",
	}
	lines = append(lines, extra(s)...)
	// In a file and not on the command line, which anyone can list.
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	s.process = exec.Command(l.binary, append([]string{file}, args...)...)
	s.process.Stdout, s.process.Stderr = s.output, s.output
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = s.process.Wait() // killed at the end, or else await says what it wrote
		close(s.ended)
	}()
	s.admin = redis.NewClient(&redis.Options{
		Addr: s.addr, Username: adminUser, Password: l.password, PoolSize: 2, DisableIdentity: true,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.cert.roots, ServerName: hostName},
	})
	l.servers = append(l.servers, s)
	return s, s.await(ctx, "answer", func(ctx context.Context) error { return s.admin.Ping(ctx).Err() })
}

// await calls check until it returns nil.
func (s *server) await(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended before it did %s: %s", s.name, what, lastLines(s.output.String()))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to %s: %w", s.name, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// close ends the servers this launcher started and waits for them.
func (l *launcher) close() {
	for _, s := range l.servers {
		_ = s.admin.Close()
		_ = s.process.Process.Kill()
	}
	for _, s := range l.servers {
		<-s.ended
	}
}

// freePorts returns ports that were free a moment ago, all different.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, errors.New("find a free port: no TCP address")
		}
		ports = append(ports, addr.Port)
	}
	return ports, nil
}

func quote(path string) string { return `"` + strings.ReplaceAll(path, `\`, `\\`) + `"` }

// lastLines is the end of a log, on one line.
func lastLines(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}
