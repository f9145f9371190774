package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
)

// commandTimeout bounds one command behind AUTH.
const commandTimeout = 5 * time.Second

// maxReply bounds a reply, in bytes: the slots of a large cluster take a few
// hundred KiB.
const maxReply = 4 << 20

// client sends one command at a time.
type client struct {
	net.Conn
	replies *resp.Reader
}

func newClient(c net.Conn) *client {
	r := resp.NewReader(c)
	r.Limit = maxReply
	return &client{Conn: c, replies: r}
}

// refusal is an error reply, without its leading minus.
type refusal string

func (r refusal) permission() bool { return strings.Contains(string(r), "NOPERM") }
func (r refusal) unknown() bool {
	text := strings.ToLower(string(r))
	return strings.Contains(text, "unknown command") || strings.Contains(text, "unknown subcommand")
}

// do returns the reply: a string, an int64, nil, a []any (maps in pairs) or a
// refusal. An error ends the connection.
func (c *client) do(ctx context.Context, args ...string) (any, error) {
	if err := c.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
		return nil, err
	}
	return c.read()
}

func (c *client) read() (any, error) {
	frame, err := c.replies.ReadFrame()
	if err != nil {
		return nil, err
	}
	value, _, err := parse(frame, 0)
	return value, err
}

var errReply = errors.New("a reply of a form that is not expected here")

// parse reads one value of a whole frame, whose boundaries have been checked.
func parse(b []byte, depth int) (value any, rest []byte, err error) {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || len(line) == 0 || depth > 8 {
		return nil, nil, errReply
	}
	text := string(line[1:])
	switch line[0] {
	case '+', ',', '(', '#':
		return text, rest, nil
	case '-':
		return refusal(text), rest, nil
	case '_':
		return nil, rest, nil
	case ':':
		n, err := strconv.ParseInt(text, 10, 64)
		return n, rest, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, nil, errReply
	}
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return nil, rest, nil
		}
		if len(rest) < n+2 {
			return nil, nil, errReply
		}
		body := string(rest[:n])
		if line[0] == '!' {
			return refusal(body), rest[n+2:], nil
		}
		return body, rest[n+2:], nil
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return nil, nil, errReply
	}
	if n < 0 {
		return nil, rest, nil
	}
	list := []any{}
	for range n {
		var item any
		if item, rest, err = parse(rest, depth+1); err != nil {
			return nil, nil, err
		}
		list = append(list, item)
	}
	if line[0] == '|' { // an attribute: the value comes behind it
		return parse(rest, depth)
	}
	return list, rest, nil
}

// field returns the value behind a name in a list of pairs, as HELLO's.
func field(reply any, name string) string {
	pairs, _ := reply.([]any)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return fmt.Sprint(pairs[i+1])
		}
	}
	return ""
}
