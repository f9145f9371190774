package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// startSentinel serves just enough of Redis Sentinel for NewFailoverClient to find its master, until ctx ends.
func startSentinel(ctx context.Context, master string) (addr string, err error) {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveSentinel(conn, host, port)
		}
	}()
	return listener.Addr().String(), nil
}

func serveSentinel(conn net.Conn, host, port string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		args, err := readCommand(in)
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, sentinelReply(args, host, port)); err != nil {
			return
		}
	}
}

func sentinelReply(args []string, host, port string) string {
	words := strings.ToLower(strings.Join(args, " "))
	switch {
	case strings.HasPrefix(words, "sentinel get-master-addr-by-name"):
		return bulks(host, port)
	case strings.HasPrefix(words, "sentinel "):
		return "*0\r\n" // no other sentinels, no replicas
	case strings.HasPrefix(words, "ping"):
		return "+PONG\r\n"
	case strings.HasPrefix(words, "subscribe"), strings.HasPrefix(words, "psubscribe"):
		var b strings.Builder
		for i, channel := range args[1:] {
			fmt.Fprintf(&b, "*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n",
				len(args[0]), strings.ToLower(args[0]), len(channel), channel, i+1)
		}
		return b.String()
	case strings.HasPrefix(words, "client setinfo"):
		return "+OK\r\n"
	}
	return "-ERR unknown command\r\n"
}

func bulks(values ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(values))
	for _, v := range values {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(v), v)
	}
	return b.String()
}

// readCommand reads one array of bulk strings.
func readCommand(in *bufio.Reader) ([]string, error) {
	n, err := readCount(in, '*')
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := readCount(in, '$')
		if err != nil {
			return nil, err
		}
		buf := make([]byte, size+2)
		if _, err := io.ReadFull(in, buf); err != nil {
			return nil, err
		}
		args[i] = string(buf[:size])
	}
	return args, nil
}

func readCount(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" || line[0] != kind {
		return 0, fmt.Errorf("want %q, got %q", kind, line)
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 || n > 1<<16 {
		return 0, fmt.Errorf("bad count %q", line)
	}
	return n, nil
}

// bypass dials plain to one address and with dial to all others.
func bypass(
	dial func(context.Context, string, string) (net.Conn, error), plain string,
) func(context.Context, string, string) (net.Conn, error) {
	var direct net.Dialer
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == plain {
			return direct.DialContext(ctx, network, addr)
		}
		return dial(ctx, network, addr)
	}
}
