//go:build unix

package reauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// server is a redis-server with two connections of ours: one to know where it
// stands, and one that is the rest of the world to the client.
type server struct {
	unix, tcp string
	roots     *x509.CertPool
	control   *link
	world     *link
	user      []string // the rules that the client has
	modes     bool     // world is to be put right again
}

// link is a connection on which replies are waited for.
type link struct {
	*socket
	replies *resp.Reader
	id      string
	before  int // what the server had read, of all connections, without what ours had written: see unread
}

// do sends a command and returns its reply.
func (l *link) do(words ...string) (string, error) {
	l.write(resp.AppendCommand(nil, words...))
	return l.reply()
}

func (l *link) reply() (string, error) {
	b, err := l.replies.ReadFrame()
	return string(b), err
}

// startServer starts the redis-server bin in dir.
func startServer(t *testing.T, bin string, certificates *certificates) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "twin") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{unix: filepath.Join(dir, "s"), roots: certificates.pool}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.tcp = free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(s.tcp)
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", s.unix, "--save", "", "--dir", dir, "--databases", "4",
		"--bind", "127.0.0.1", "--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", certificates.cert,
		"--tls-cert-file", certificates.cert, "--tls-key-file", certificates.key, "--enable-debug-command", "yes", "--hz", "100",
		"--user", "admin", "on", ">admin", "+@all", "~*", "&*")
	var says bytes.Buffer
	cmd.Stdout = &says
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", bin, err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 1000 {
		if c, err := net.Dial("unix", s.unix); err == nil {
			c.Close()
			s.control, s.world = s.link(t), s.link(t)
			return s
		}
		<-time.After(10 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("%s does not listen: %s", bin, &says)
	return nil
}

func (s *server) link(t *testing.T) *link {
	c, err := dial(s.unix, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	l := &link{socket: c, replies: resp.NewReader(c)}
	l.do("AUTH", "admin", "admin")
	if l.id, err = l.do("CLIENT", "ID"); err != nil {
		t.Fatal(err)
	}
	l.id = strings.Trim(l.id, ":\r\n")
	return l
}

// open makes the server as new, for a client with these rules, and returns a
// connection as that client.
func (s *server) open(sc *script, secure bool) (*link, error) {
	deadline := time.Now().Add(time.Minute)
	s.control.SetReadDeadline(deadline)
	s.world.SetReadDeadline(deadline)
	b := resp.AppendCommand(nil, "FLUSHALL")
	n := 1
	if s.user == nil || !slices.Equal(s.user, sc.user) {
		for _, u := range [][]string{{"default", "nopass"}, {"entra", ">secret"}} {
			b = resp.AppendCommand(b, slices.Concat([]string{"ACL", "SETUSER", u[0], "reset", "on", u[1], "+@all", "~*", "&*"}, sc.user)...)
			n++
		}
		s.user = append([]string{}, sc.user...)
	}
	if sc.has("SCRIPT", "EVALSHA", "FUNCTION", "FCALL") {
		b = resp.AppendCommand(b, "SCRIPT", "FLUSH")
		b = resp.AppendCommand(b, "FUNCTION", "FLUSH")
		n += 2
	}
	s.control.write(b)
	for range n {
		if got, err := s.control.reply(); err != nil || got[0] != '+' {
			return nil, fmt.Errorf("make the server as new: %q %v", got, err)
		}
	}
	return s.connect(secure)
}

// connect returns a connection of the default user, over TLS or not.
func (s *server) connect(secure bool) (*link, error) {
	address, roots := s.unix, (*x509.CertPool)(nil)
	if secure {
		address, roots = s.tcp, s.roots
	}
	c, err := dial(address, roots)
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	l := &link{socket: c, replies: resp.NewReader(c)}
	b := resp.AppendCommand(nil, "AUTH", "admin", "admin")
	b = resp.AppendCommand(b, "CLIENT", "ID")
	l.write(resp.AppendCommand(b, "AUTH", "default", "any"))
	for _, keep := range []bool{false, true, false} {
		r, err := l.reply()
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		if keep {
			l.id = strings.Trim(r, ":\r\n")
		}
	}
	if secure {
		read, err := s.read()
		if err != nil {
			c.Close()
			return nil, err
		}
		l.before = read - s.written(l)
	}
	l.SetReadDeadline(time.Time{})
	return l, nil
}

// barrier is in no conversation, so that it can be told in the MONITOR stream.
const barrier = "~barrier~"

// sync returns when the server has executed what was written to c, unless it
// is blocked, and has written the replies.
//
// Redis serves who became ready first, but not quite: in one round of its loop
// a connection that had something to say in the last round may come before.
// And it writes the replies of a round in any order. So there are two more
// rounds behind the one in which it has read all.
func (s *server) sync(c *link) error {
	rounds := 2
	if c.secure {
		rounds += c.written / (8 << 10) // what Redis has read may not be deciphered
	}
	for range 1000 {
		if err := s.round(); err != nil {
			return err
		}
		unread, err := s.unread(c)
		if err != nil {
			return err
		}
		if !unread {
			break
		}
	}
	for range rounds {
		if err := s.round(); err != nil {
			return err
		}
	}
	return nil
}

var echo = resp.AppendCommand(nil, "ECHO", barrier)

func (s *server) round() error {
	s.control.write(echo)
	r, err := s.control.reply()
	if err == nil && r != "$9\r\n"+barrier+"\r\n" {
		err = fmt.Errorf("barrier: got %q", r)
	}
	return err
}

// unread reports whether the server has not read yet what was written to c.
//
// Over TCP a blocked client's bytes may be acknowledged long after they were
// read, when a shortened block has ended. So Redis is asked what it has read.
func (s *server) unread(c *link) (bool, error) {
	if c.ended {
		return false, nil
	}
	if unread := c.unacknowledged(); !unread || !c.secure {
		return unread, nil
	}
	read, err := s.read()
	return read < c.before+s.written(c), err
}

// written returns how much was written to the server on c and on the
// connections that are always there.
func (s *server) written(c *link) int {
	return s.control.written + s.world.written + c.written
}

// read returns how much the server has read, of all connections.
func (s *server) read() (int, error) {
	r, err := s.control.do("INFO", "stats")
	if err != nil {
		return 0, err
	}
	_, r, _ = strings.Cut(r, "\r\ntotal_net_input_bytes:")
	r, _, _ = strings.Cut(r, "\r\n")
	return strconv.Atoi(r)
}

// blocked reports whether a connection waits in a blocking command.
func (s *server) blocked(id string) (bool, error) {
	r, err := s.control.do("CLIENT", "LIST", "ID", id)
	_, flags, _ := strings.Cut(r, " flags=")
	flags, _, _ = strings.Cut(flags, " ")
	return strings.Contains(flags, "b"), err
}

// elsewhere executes a command on a connection that is not the client's.
func (s *server) elsewhere(words []string) (string, error) {
	if name := strings.ToUpper(words[0]); name == "CLIENT" || name == "SELECT" {
		s.modes = true
	}
	return s.world.do(words...)
}

// settle ends a conversation: it returns what the server then holds.
func (s *server) settle() (digest string, err error) {
	if s.modes {
		s.modes = false
		if _, err := s.world.do("RESET"); err != nil {
			return "", err
		}
		if _, err := s.world.do("AUTH", "admin", "admin"); err != nil {
			return "", err
		}
	}
	return s.control.do("DEBUG", "DIGEST")
}

// certificates is a self-signed one of localhost, for the servers of a test.
type certificates struct {
	cert, key string // files
	pool      *x509.CertPool
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &certificates{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.pool.AddCert(parsed)
	for name, block := range map[string]*pem.Block{c.cert: {Type: "CERTIFICATE", Bytes: der}, c.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
