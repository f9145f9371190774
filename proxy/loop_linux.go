package proxy

import (
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// loop serves many connections with one goroutine, all those that something has
// come for in one turn: they need neither a goroutine nor memory of their own
// meanwhile, and what many have sent goes out in one write. A connection leaves
// it, to a goroutine, with the first thing that would have to be waited for.
type loop struct {
	once sync.Once // opens it for the first that has a socket
	shut sync.Once // closes it
	file *os.File  // the epoll instance; nil if there is none
	raw  syscall.RawConn
	wake [2]int // a pipe: the loop ends when its other end is closed
	over chan struct{}

	mu    sync.Mutex // guards the rest
	seats map[int32]place

	// Of the loop's goroutine.
	now     time.Time // of this turn
	begun   time.Time // when the runtime saw it begin
	yielder yielder
	came    int  // events of this turn
	many    bool // one of them was for a client that sends many commands at a time
	piped   bool // pipes have had something in it
	touched []*pipe
	again   []*seat                  // have not read everything
	events  [256]syscall.EpollEvent  // not on a stack, which may move
	plain   [rideBuffer]byte         // for what a turn reads
	wire    [rideBuffer]byte         // for the same beneath TLS
	sealed  [rideBuffer + 8<<10]byte // for what it writes, as TLS makes it
}

// seat is the place of a client, an upstream, or both in a loop. The zero value
// is that of one that has never been in a loop.
type seat struct {
	loop *loop
	who  sitter
	free atomic.Bool // it is in the loop, and nobody is at it
	late bool        // it is in loop.again; of the loop's goroutine

	mu    sync.Mutex // guards the rest
	socks [2]*socket // nil where there is none
	fds   [2]int32
	masks [2]uint32 // what is waited for
}

// The sockets of a seat.
const (
	clientSock = iota
	upstreamSock
)

// place is one of the sockets of a seat.
type place struct {
	seat *seat
	sock int
}

// sitter is whose seat it is.
type sitter interface {
	// turn does what can be done for the socket without waiting. It reports
	// whether the sitter stays.
	turn(l *loop, sock int, events uint32) bool

	// quits ends a sitter that does not stay, if there is nothing left to do but
	// that. It reports whether it has. It must not wait.
	quits() bool

	// leaves reports whether the sitter is to leave, whatever comes.
	leaves() bool

	// resume goes on in a goroutine.
	resume()
}

// maxStint is for how long the loop goes on in the runtime's eyes: behind 10 ms it
// would be interrupted, and be looked after every 20 us from then on, which costs a
// thirtieth.
const maxStint = 5 * time.Millisecond

const (
	pollIn  = uint32(syscall.EPOLLIN)
	pollOut = uint32(syscall.EPOLLOUT)
	pollEnd = uint32(syscall.EPOLLERR | syscall.EPOLLHUP)
)

func newLoop() *loop {
	l := new(loop)
	// Where Go has but one processor, other goroutines, and what the runtime polls for
	// them, get it only while the loop sleeps.
	if runtime.GOMAXPROCS(0) > 1 {
		l.yielder.give = yieldNow
	}
	return l
}

// open makes the epoll instance and starts the loop, if that can be.
func (l *loop) open() {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	// Not one that the runtime polls: waiting takes a thread, but to be woken
	// costs a third of what it costs there.
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return
	}
	var wake [2]int
	if err := syscall.Pipe2(wake[:], syscall.O_CLOEXEC); err != nil {
		file.Close()
		return
	}
	l.file, l.raw, l.seats, l.wake, l.over = file, raw, map[int32]place{}, wake, make(chan struct{})
	if l.control(syscall.EPOLL_CTL_ADD, int32(wake[0]), clientSock, pollIn) != nil {
		l.file = nil
		file.Close()
		syscall.Close(wake[0])
		syscall.Close(wake[1])
		return
	}
	go l.run()
}

// opens reports whether the loop is open, which it becomes with the first that asks.
func (l *loop) opens() bool {
	l.once.Do(l.open)
	return l.file != nil
}

// close ends the loop. Nobody may be in it.
func (l *loop) close() {
	l.once.Do(func() {})
	if l.file == nil {
		return
	}
	l.shut.Do(func() { syscall.Close(l.wake[1]) }) // ends the wait
	<-l.over
}

// sit gives who a seat, with sockets of which something may come; nil for none.
// Nothing happens to it until release.
func (l *loop) sit(s *seat, who sitter, client, upstream *socket) bool {
	if !l.opens() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.who == nil { // release may still look at it
		s.loop, s.who = l, who
	}
	for i, k := range [...]*socket{clientSock: client, upstreamSock: upstream} {
		if k == nil {
			continue
		}
		if l.add(s, i, k, pollIn) != nil {
			s.stand()
			return false
		}
	}
	return true
}

// release lets the loop have who sits there. If it reports true, that is no
// longer the caller's.
func (s *seat) release() bool {
	s.free.Store(true)
	// What ends it may have looked for it before it was here.
	return !s.who.leaves() || !s.claim()
}

// move has a seat's owner, whose turn it is, go on in another loop behind this turn. It
// reports false if that cannot be: then the owner may not stay.
func (s *seat) move(to *loop) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	socks, masks := s.socks, s.masks
	s.stand()
	s.loop = to
	for i, k := range socks {
		if k != nil && to.add(s, i, k, masks[i]) != nil {
			return false
		}
	}
	return true
}

func (l *loop) add(s *seat, i int, k *socket, mask uint32) (err error) {
	err = net.ErrClosed
	k.control(func(fd int) {
		s.fds[i], s.masks[i] = int32(fd), mask
		l.mu.Lock()
		l.seats[int32(fd)] = place{s, i}
		l.mu.Unlock()
		if err = l.control(syscall.EPOLL_CTL_ADD, int32(fd), i, mask); err != nil {
			l.forget(s, i)
		}
	})
	if err == nil {
		s.socks[i] = k
	}
	return err
}

// claim takes a seat's owner out of the loop. If it reports true, that is the
// caller's.
func (s *seat) claim() bool {
	if !s.free.CompareAndSwap(true, false) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stand()
	return true
}

// leave is the inverse of sit, for who has not released the seat.
func (s *seat) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stand()
}

// stand is leave with s.mu held.
func (s *seat) stand() {
	for i, k := range s.socks {
		if k != nil {
			s.loop.remove(s, i, k)
			s.socks[i] = nil
		}
	}
}

// evict has who sits there resume, if nobody is at it: otherwise leaves is looked
// at.
func (s *seat) evict() {
	if s.claim() {
		go s.who.resume()
	}
}

func (l *loop) remove(s *seat, i int, k *socket) {
	// A socket that has been closed is out of the epoll instance.
	k.control(func(fd int) { l.control(syscall.EPOLL_CTL_DEL, int32(fd), i, 0) })
	l.forget(s, i)
}

func (l *loop) forget(s *seat, i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seats[s.fds[i]].seat == s { // and not of one that has got the number since
		delete(l.seats, s.fds[i])
	}
}

// await sets what is waited for at a socket.
func (s *seat) await(i int, mask uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.socks[i]; k != nil && s.masks[i] != mask {
		s.masks[i] = mask
		k.control(func(fd int) { s.loop.control(syscall.EPOLL_CTL_MOD, int32(fd), i, mask) })
	}
}

// control is epoll_ctl(2) for the i-th socket of a seat, of which an event reminds
// in Pad.
func (l *loop) control(op int, sock int32, i int, mask uint32) (err error) {
	controlErr := l.raw.Control(func(fd uintptr) {
		err = syscall.EpollCtl(int(fd), op, int(sock), &syscall.EpollEvent{Events: mask, Fd: sock, Pad: int32(i)})
	})
	if err == nil {
		err = controlErr
	}
	return err
}

// touch notes that a pipe has something to write.
func (l *loop) touch(p *pipe) {
	if !slices.Contains(l.touched, p) {
		l.touched = append(l.touched, p)
	}
}

// later gives a seat another turn that has not read everything. It has one at a
// time, or one that events come for meanwhile would have more and more.
func (l *loop) later(s *seat) {
	if !s.late {
		s.late = true
		l.again = append(l.again, s)
	}
}

func (l *loop) run() {
	defer close(l.over)
	defer syscall.Close(l.wake[0])
	defer l.file.Close()
	l.raw.Control(func(fd uintptr) { l.serve(int(fd)) })
}

func (l *loop) serve(epoll int) {
	events := l.events[:]
	var again []*seat
	for {
		n, err := l.wait(epoll, events)
		if err != nil {
			return
		}
		l.now, l.came, l.many, l.piped = time.Now(), n, false, false
		if l.now.Sub(l.begun) > maxStint {
			runtime.Gosched()
			l.begun = l.now
		}
		again, l.again = l.again, again[:0]
		for i, s := range again {
			again[i], s.late = nil, false
			l.handle(s, 0, 0)
		}
		// First what clients have sent: the cache works on that while they are
		// given their replies.
		for _, sock := range [...]int32{clientSock, upstreamSock} {
			for _, e := range events[:n] {
				switch {
				case e.Pad != sock:
				case e.Fd == int32(l.wake[0]):
					return
				default:
					l.happened(e)
				}
			}
			l.writePipes()
		}
	}
}

func (l *loop) happened(e syscall.EpollEvent) {
	l.mu.Lock()
	at := l.seats[e.Fd]
	l.mu.Unlock()
	if at.seat != nil { // or it has just left
		l.handle(at.seat, at.sock, e.Events)
	}
}

func (l *loop) writePipes() {
	l.piped = l.piped || len(l.touched) > 0
	for i, p := range l.touched {
		p.writeSoon()
		l.touched[i] = nil
	}
	l.touched = l.touched[:0]
}

// wait returns events, or none if some have not read everything.
func (l *loop) wait(epoll int, events []syscall.EpollEvent) (int, error) {
	if n, err := l.look(epoll, events); n != 0 || err != nil || len(l.again) > 0 {
		return n, err
	}
	return poll(epoll, events, -1)
}

// look is wait that does not sleep. It yields before, if more at a time is worth that:
// to a pipe, or instead of a single event. Where rides have many in a turn, or a ride
// has many commands, yielding would keep the cache waiting.
func (l *loop) look(epoll int, events []syscall.EpollEvent) (int, error) {
	now := time.Now()
	l.yielder.weigh(now)
	switch {
	case l.piped:
		l.yielder.yield(now, maxLoss)
	case l.came == 1 && !l.many:
		l.yielder.yield(now, maxLoneLoss)
	}
	n, err := poll(epoll, events, 0)
	if n == 0 { // or sleep would pass for work
		l.yielder.weigh(time.Now())
	}
	return n, err
}

func poll(epoll int, events []syscall.EpollEvent, timeout int) (n int, err error) {
	for {
		if timeout == 0 {
			n, err = pollNow(epoll, events)
		} else {
			n, err = syscall.EpollWait(epoll, events, timeout)
		}
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// pollNow is EpollWait that does not wait, and so need not tell the runtime: see
// readNow.
func pollNow(epoll int, events []syscall.EpollEvent) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// handle has a seat's owner do its turn. Without events, it is one that had not
// read everything.
func (l *loop) handle(s *seat, sock int, events uint32) {
	if !s.free.CompareAndSwap(true, false) {
		return // somebody has just claimed it
	}
	stays := s.who.turn(l, sock, events)
	if !stays {
		// Behind quits, which closes them, its sockets are out of the epoll
		// instance already.
		quits := s.who.quits()
		if s.leave(); quits {
			return
		}
	}
	s.free.Store(true)
	if !stays || s.who.leaves() {
		s.evict()
	}
}
