package resp

import "bytes"

// Limits of what [Requests] keeps of a command.
const (
	maxKeptArgs  = 16
	maxKeptBytes = 32
)

// Requests finds the boundaries of the commands in a client's byte stream.
// The zero value stands before the first command. It must not be copied while
// in use, and is not safe for concurrent use.
type Requests struct {
	// Keep is asked, when the first argument of a command is complete, how
	// many of the following ones to keep for [Requests.Arg]; a negative number
	// makes Next return there. Nil keeps none. The name is upper case.
	Keep func(name []byte) int

	state requestState
	num   number
	due   int64 // bulk strings of this command that have not begun
	skip  int64 // bytes of the present bulk string still to come, CRLF included
	argc  int64
	keep  int

	name    [maxKeptBytes]byte
	nameLen int
	args    *[maxKeptArgs]keptArg
	line    []byte // an inline command so far
}

type keptArg struct {
	n uint8
	b [maxKeptBytes]byte
}

type requestState uint8

const (
	atCommand requestState = iota
	inCount
	afterCount
	atBulk
	inLength
	afterLength
	inPayload
	inInline
)

// AtBoundary reports whether the stream stands between two commands.
func (r *Requests) AtBoundary() bool { return r.state == atCommand }

// Rewind forgets the command that has begun, so that Next can be given all of
// it again.
func (r *Requests) Rewind() { r.state = atCommand }

// Named reports whether the name of the command that has begun is complete.
func (r *Requests) Named() bool {
	switch r.state {
	case atCommand, inCount, afterCount, inInline:
		return false
	}
	return r.argc-r.due > 1 || r.argc-r.due == 1 && r.state != inPayload
}

// Name is the command's name in upper case, cut at 32 bytes, valid once Next
// reported the command complete and until the next call.
func (r *Requests) Name() []byte { return r.name[:r.nameLen] }

// Args is the number of arguments of the command, its name included; 0 of an
// empty one, which Redis takes without a reply.
func (r *Requests) Args() int { return int(r.argc) }

// Arg is the command's i-th argument (0 is the name), cut at 32 bytes, if
// Keep asked for it; otherwise nil.
func (r *Requests) Arg(i int) []byte {
	if i == 0 {
		return r.Name()
	}
	if i > r.keep || int64(i) >= r.argc || r.args == nil {
		return nil
	}
	a := &r.args[i-1]
	return a.b[:a.n]
}

// Next consumes bytes of b up to the end of the command that b continues or
// begins. It returns how many it consumed and whether they end a command; if
// not, they are all of b. After a *[ProtocolError] the scanner is of no
// further use: the server, too, stops reading there.
func (r *Requests) Next(b []byte) (n int, done bool, err error) {
	for n < len(b) {
		switch r.state {
		case atCommand:
			if b[n] != '*' {
				r.line = r.line[:0]
				r.state = inInline
				continue
			}
			n++
			if v, k := shortHeader(b[n:]); k > 0 && v > 0 && v <= maxCount {
				n += k + 1
				r.begin(v)
				continue
			}
			r.num = number{}
			r.state = inCount
		case inCount, inLength:
			var c byte
			for n < len(b) {
				c = b[n]
				n++
				if c == '\r' {
					break
				}
				if !r.num.add(c) {
					return n, false, r.headerError()
				}
			}
			if c == '\r' {
				r.state++
			}
		case afterCount:
			n++ // Redis takes whatever follows the CR for the LF
			v, ok := r.num.get()
			if !ok || v > maxCount {
				return n, false, errMultibulk
			}
			if v <= 0 {
				r.argc, r.nameLen = 0, 0
				r.state = atCommand
				return n, true, nil
			}
			r.begin(v)
		case atBulk:
			if n += r.skipUnwanted(b[n:]); r.due == 0 {
				r.state = atCommand
				return n, true, nil
			}
			if n == len(b) {
				return n, false, nil
			}
			if b[n] != '$' {
				return n, false, expectedBulk(b[n])
			}
			n++
			if v, k := shortHeader(b[n:]); k > 0 {
				n += k + 1
				r.beginArg(v)
				continue
			}
			r.num = number{}
			r.state = inLength
		case afterLength:
			n++
			v, ok := r.num.get()
			if !ok || v < 0 || v > maxLength {
				return n, false, errBulk
			}
			r.beginArg(v)
		case inPayload:
			k := min(r.skip, int64(len(b)-n))
			r.keepBytes(b[n : n+int(k)])
			n += int(k)
			if r.skip -= k; r.skip > 0 {
				return n, false, nil
			}
			if r.argc-r.due == 1 {
				if r.named(); r.keep < 0 {
					return n, false, nil
				}
			}
			if r.due == 0 {
				r.state = atCommand
				return n, true, nil
			}
			r.state = atBulk
		case inInline:
			k, end := len(b)-n, bytes.IndexByte(b[n:], '\n')
			if end >= 0 {
				k = end + 1
			}
			// Redis looks for the LF with strchr: behind a NUL it finds none.
			if len(r.line)+k > maxInline || bytes.IndexByte(b[n:n+k], 0) >= 0 {
				return n, false, errInline
			}
			r.line = append(r.line, b[n:n+k]...)
			n += k
			if end < 0 {
				return n, false, nil
			}
			r.state = atCommand
			if err := r.inline(); err != nil {
				return n, false, err
			}
			return n, true, nil
		}
	}
	return n, false, nil
}

// Run is Next for commands that are all in b, begin as last does, up to the end of
// their name, and have no more bytes than largest: most of a pipeline is alike.
// Last is the whole command that Next has just come past. Run returns how many
// bytes and commands it consumed, which may be none: so it is where arguments of
// last were kept.
func (r *Requests) Run(last, b []byte, largest int64) (n, commands int) {
	head := last[:lengthOfHead(last, b)]
	if len(head) == 0 {
		return 0, 0
	}
	for ; bytes.HasPrefix(b[n:], head); commands++ {
		r.due = r.argc - 1
		k := len(head) + r.skipUnwanted(b[n+len(head):])
		if r.due > 0 || int64(k) > largest {
			break
		}
		n += k
	}
	return n, commands
}

// lengthOfHead is how many bytes a whole command, not an inline one, has up to the
// end of its name; 0 where b begins in another way, as far as that is seen soon.
func lengthOfHead(command, b []byte) int {
	const soon = len("*3\r\n$3\r\n")
	if len(b) < soon || len(command) < soon || string(b[:soon]) != string(command[:soon]) || b[0] != '*' {
		return 0
	}
	_, k := shortHeader(command[1:])
	at := 1 + k + 1
	if k == 0 || at >= len(command) {
		return 0
	}
	length, k := shortHeader(command[at+1:])
	end := at + 1 + k + 1 + int(length) + 2
	if k == 0 || end > len(command) {
		return 0
	}
	return end
}

func (r *Requests) headerError() error {
	if r.state == inCount {
		return errMultibulk
	}
	return errBulk
}

func expectedBulk(got byte) error {
	return &ProtocolError{"Protocol error: expected '$', got '" + string(rune(got)) + "'"}
}

// begin starts a command of so many arguments.
func (r *Requests) begin(args int64) {
	r.argc, r.due, r.keep, r.nameLen = args, args, 0, 0
	r.state = atBulk
}

// beginArg starts an argument of so many bytes, and prepares to keep it if it
// is wanted.
func (r *Requests) beginArg(length int64) {
	r.due--
	r.skip = length + 2
	r.state = inPayload
	if i := int(r.argc - r.due - 1); i > 0 && i <= r.keep {
		r.args[i-1].n = 0
	}
}

// skipUnwanted skips arguments that are all in b and of which nothing is kept.
// It returns how many bytes these are.
func (r *Requests) skipUnwanted(b []byte) (n int) {
	if r.argc-r.due <= int64(r.keep) {
		return 0
	}
	for r.due > 0 && n < len(b) && b[n] == '$' {
		v, k := shortHeader(b[n+1:])
		end := n + 1 + k + 1 + int(v) + 2
		if k == 0 || end > len(b) {
			break
		}
		n = end
		r.due--
	}
	return n
}

// keepBytes keeps what is wanted of the next bytes of the present argument;
// its CRLF is not part of it.
func (r *Requests) keepBytes(b []byte) {
	i := int(r.argc - r.due - 1)
	if i > r.keep {
		return
	}
	if payload := r.skip - 2; payload < int64(len(b)) {
		b = b[:max(payload, 0)]
	}
	if i == 0 {
		r.nameLen += copy(r.name[r.nameLen:], b)
		return
	}
	a := &r.args[i-1]
	a.n += uint8(copy(a.b[a.n:], b))
}

// named runs when the first argument is complete.
func (r *Requests) named() {
	for i, c := range r.name[:r.nameLen] {
		if 'a' <= c && c <= 'z' {
			r.name[i] = c - 'a' + 'A'
		}
	}
	if r.Keep == nil {
		return
	}
	r.keep = min(r.Keep(r.name[:r.nameLen]), maxKeptArgs)
	if r.keep > 0 && r.args == nil {
		r.args = new([maxKeptArgs]keptArg)
	}
}

// inline reads the complete inline command in r.line.
func (r *Requests) inline() error {
	args, ok := splitInline(bytes.TrimSuffix(r.line[:len(r.line)-1], []byte("\r")))
	if cap(r.line) > 4<<10 {
		r.line = nil // one long line must not hold memory for the connection's life
	}
	if !ok {
		return errQuotes
	}
	r.argc, r.keep, r.nameLen = int64(len(args)), 0, 0
	if len(args) == 0 {
		return nil
	}
	r.nameLen = copy(r.name[:], args[0])
	r.named()
	for i := 1; i < len(args) && i <= r.keep; i++ {
		a := &r.args[i-1]
		a.n = uint8(copy(a.b[:], args[i]))
	}
	return nil
}
