package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

// socketPair returns two ends of a connection.
func socketPair(t *testing.T) (a *socket, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { conns[i].Close() })
	}
	return socketOf(conns[0]), conns[1]
}

// sits is a sitter whose turns a test makes.
type sits struct {
	seat seat
	do   func(l *loop) bool
	left chan struct{}
}

func (s *sits) turn(l *loop, _ int, _ uint32) bool { return s.do(l) }
func (s *sits) leaves() bool                       { return false }
func (s *sits) quits() bool                        { return false }
func (s *sits) resume()                            { close(s.left) }

// Who never has read everything holds up the others for the same time again and
// again, not for longer and longer.
func TestTurnsAreFair(t *testing.T) {
	l := newLoop()
	most, between, rounds := 0, 0, 0
	heavy, light := &sits{left: make(chan struct{})}, &sits{left: make(chan struct{})}
	heavy.do = func(l *loop) bool {
		between++
		l.later(&heavy.seat)
		return rounds < 100
	}
	light.do = func(*loop) bool {
		if rounds++; rounds > 1 {
			most = max(most, between)
		}
		between = 0
		return rounds < 100
	}
	for _, s := range []*sits{heavy, light} {
		a, b := socketPair(t)
		b.Write([]byte("x")) // which nobody reads
		if !a.detach() || !l.sit(&s.seat, s, a, nil) || !s.seat.release() {
			t.Fatal("has no seat")
		}
		t.Cleanup(func() { a.Close() })
	}
	<-light.left
	<-heavy.left
	l.close()
	if most > 4 {
		t.Errorf("%d turns between two of another", most)
	}
}

// Who changes loops is in one of them at a time, with all that it waits for.
func TestSeatMoves(t *testing.T) {
	from, to := newLoop(), newLoop()
	s := &sits{left: make(chan struct{})}
	client, farClient := socketPair(t)
	upstream, farUpstream := socketPair(t)
	type turn struct {
		loop *loop
		of   *socket
	}
	turns := make(chan turn, 1)
	s.do = func(l *loop) bool {
		of := client
		if n, _ := client.tryRead(make([]byte, 8)); n == 0 {
			of = upstream
			upstream.tryRead(make([]byte, 8))
		}
		turns <- turn{l, of}
		return l == to || s.seat.move(to)
	}
	if !to.opens() || !client.detach() || !upstream.detach() || !from.sit(&s.seat, s, client, upstream) {
		t.Fatal("has no seat")
	}
	s.seat.await(upstreamSock, 0) // it does not listen to that
	if !s.seat.release() {
		t.Fatal("has to leave")
	}
	farUpstream.Write([]byte("x"))
	for i, want := range []*loop{from, to, to} {
		farClient.Write([]byte("x"))
		if got := <-turns; got != (turn{want, client}) {
			t.Fatalf("turn %d: of another loop, or of what it does not listen to", i)
		}
	}
	s.seat.await(upstreamSock, pollIn)
	if <-turns != (turn{to, upstream}) {
		t.Error("what it waits for again comes in another loop")
	}
	for !s.seat.claim() {
		runtime.Gosched() // a turn ends
	}
	if n := len(from.seats) + len(to.seats); n != 0 {
		t.Errorf("%d connections left", n)
	}
	from.close()
	to.close()
}

// Who cannot be in the other loop goes on without any.
func TestSeatDoesNotMove(t *testing.T) {
	from, to := newLoop(), newLoop()
	s := &sits{left: make(chan struct{})}
	client, far := socketPair(t)
	upstream, _ := socketPair(t)
	s.do = func(*loop) bool {
		upstream.Close()
		return s.seat.move(to)
	}
	if !to.opens() || !client.detach() || !upstream.detach() || !from.sit(&s.seat, s, client, upstream) || !s.seat.release() {
		t.Fatal("has no seat")
	}
	far.Write([]byte("x"))
	<-s.left
	if n := len(from.seats) + len(to.seats); n != 0 {
		t.Errorf("%d connections left", n)
	}
	client.Close()
	from.close()
	to.close()
}

// What clients have sent comes before what upstreams have, in whatever order
// they have.
func TestClientsFirst(t *testing.T) {
	l := newLoop()
	var order []string
	begun, rest := make(chan struct{}), make(chan struct{})
	seats := map[string]*sits{"gate": nil, "client": nil, "upstream": nil}
	far := map[string]net.Conn{}
	for name := range seats {
		s := &sits{left: make(chan struct{})}
		s.do = func(*loop) bool {
			if name == "gate" {
				close(begun)
				<-rest
			}
			order = append(order, name)
			return false
		}
		near, f := socketPair(t)
		client, upstream := near, (*socket)(nil)
		if name == "upstream" {
			client, upstream = nil, near
		}
		if !near.detach() || !l.sit(&s.seat, s, client, upstream) || !s.seat.release() {
			t.Fatal("has no seat")
		}
		t.Cleanup(func() { near.Close() })
		seats[name], far[name] = s, f
	}
	far["gate"].Write([]byte("x"))
	<-begun
	far["upstream"].Write([]byte("x"))
	far["client"].Write([]byte("x"))
	close(rest)
	for _, s := range seats {
		<-s.left
	}
	l.close()
	if want := []string{"gate", "client", "upstream"}; !slices.Equal(order, want) {
		t.Errorf("got %v", order)
	}
}

func TestReadOfASocketThatWasClosedDetached(t *testing.T) {
	a, _ := socketPair(t)
	if !a.detach() {
		t.Fatal("not detached")
	}
	a.Close()
	a.attach()
	if _, err := a.read(getSmall, put); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// bare is an upstream without anything around its socket.
type bare struct{ *tried }

func (bare) Poll(bool) bool      { return true }
func (bare) Polls() bool         { return true }
func (bare) Waits() bool         { return true }
func (b bare) NetConn() net.Conn { return b.tried }

// A client that leaves too much unread is not forgotten because nothing more
// comes.
func TestSlowReaderOfTheLastReply(t *testing.T) {
	p := &Proxy{Upstreams: UpstreamsShared, Dialer: &entraredis.Dialer{}}
	p.init()
	conn, _ := socketPair(t)
	c := &client{proxy: p, conn: conn, in: conn}
	c.ctx, c.cancel = context.WithCancelCause(t.Context())
	s := newSession(c, p.hub)
	s.owed, s.seated, s.out = 1, true, make([]byte, hardUnread+1)
	for n := 1; n > 0; {
		n = conn.tryWrite(make([]byte, largeBuffer)) // until it takes no more
	}
	up, far := socketPair(t)
	pi := newPipe(bare{&tried{socket: up}}, p.loops.of(0), 0, func(*pipe, error, []parcel, []byte) {})
	if err := pi.submit(s, []byte("PING"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, len("PING"))); err != nil {
		t.Fatal(err)
	}
	io.WriteString(far, "+PONG\r\n")
	select {
	case <-s.ctx.Done():
	case <-time.After(20 * time.Second):
		t.Error("is still there")
	}
	pi.close()
	p.Close()
}

// What a connection is does not change in the loop.
func TestAttachedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).SetKeepAlive(false)
	s := socketOf(c)
	defer s.Close()
	// No more descriptors than there are: one is needed to leave, none to return.
	if !s.detach() {
		t.Fatal("not detached")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	s.SetReadDeadline(past)
	s.attach()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	on := -1
	s.control(func(fd int) { on, err = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) })
	if on != 0 || err != nil {
		t.Errorf("keep-alive is %d, %v", on, err)
	}
	_, err = s.Read(make([]byte, 1))
	passes, ok := err.(interface{ Temporary() bool }) // which crypto/tls asks
	if e, isNet := err.(net.Error); !ok || !passes.Temporary() || !isNet || !e.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("behind a deadline: got %T, %v", err, err)
	}
	s.SetReadDeadline(time.Time{})
	far.Write([]byte("down"))
	b := make([]byte, 10)
	if n, err := s.Read(b); err != nil || string(b[:n]) != "down" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if _, err := s.Write([]byte("up")); err != nil {
		t.Error(err)
	}
	s.CloseWrite()
	if up, err := io.ReadAll(far); err != nil || string(up) != "up" {
		t.Errorf("got %q, %v", up, err)
	}
	far.Close()
	if _, err := s.Read(b); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
	s.Close()
	if _, err := s.Read(b); err != net.ErrClosed {
		t.Errorf("got %v", err)
	}
}

// An upstream that takes nothing more is not waited for at the end.
func TestHangUp(t *testing.T) {
	for behind, want := range map[bool]string{false: "goodbye", true: ""} {
		up, far := socketPair(t)
		c := &polite{bare{&tried{socket: up}}}
		if behind {
			c.backlog = []byte("x")
		}
		hangUp(c)
		if got, err := io.ReadAll(far); string(got) != want || err != nil {
			t.Errorf("behind: %v: got %q, %v", behind, got, err)
		}
	}
}

// polite says goodbye as TLS does.
type polite struct{ bare }

func (p *polite) Close() error {
	p.Write([]byte("goodbye"))
	return p.bare.Close()
}

// A client that leaves while it is about to be told why it is closed is not
// taken for one that is owed nothing.
func TestLeavesBeforeItIsRefused(t *testing.T) {
	p := &Proxy{Upstreams: UpstreamsShared, Dialer: &entraredis.Dialer{}}
	p.init()
	defer p.Close()
	conn, _ := socketPair(t)
	c := &client{proxy: p, conn: conn, in: conn}
	c.ctx, c.cancel = context.WithCancelCause(t.Context())
	c.unhook = func() bool { return true }
	s := newSession(c, p.hub)
	s.ended, s.refused = true, true
	if s.quits() {
		t.Error("it has quit")
	}
}

// Behind what is no reply a pipe ends. Who is due what came before it gets that,
// and an error for each of the rest.
func TestRepliesInFrontOfGarbage(t *testing.T) {
	for sent, want := range map[string]string{
		"+A\r\n+B\r?":           "+A\r\n-ERR ",
		"+A\r\n*1\r\n$1\r\nB?":  "+A\r\n-ERR ",
		"-A\r\n:1\r\n?":         "-A\r\n:1\r\n-ERR ",
		"-A\r\n:1\r\n$1\r\nC??": "-A\r\n:1\r\n-ERR ",
	} {
		p := &Proxy{Upstreams: UpstreamsShared, Dialer: &entraredis.Dialer{}}
		p.init()
		conn, far3 := socketPair(t)
		c := &client{proxy: p, conn: conn, in: conn}
		c.ctx, c.cancel = context.WithCancelCause(t.Context())
		s := newSession(c, p.hub)
		s.owed = 3
		up, far := socketPair(t)
		ended := make(chan struct{})
		pi := newPipe(bare{&tried{socket: up}}, p.loops.of(0), 0, func(*pipe, error, []parcel, []byte) { close(ended) })
		if err := pi.submit(s, []byte("commands"), 3); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, make([]byte, len("commands"))); err != nil {
			t.Fatal(err)
		}
		io.WriteString(far, sent)
		within(t, "the pipe goes on", ended)
		s.mu.Lock()
		if s.owed != 0 {
			t.Errorf("%q: %d replies are still due", sent, s.owed)
		}
		s.mu.Unlock()
		conn.Close()
		if got, err := io.ReadAll(far3); !strings.HasPrefix(string(got), want) || strings.Count(string(got), "\r\n") != 3 || err != nil {
			t.Errorf("%q: got %q, %v, want %q", sent, got, err, want)
		}
		p.Close()
	}
}
