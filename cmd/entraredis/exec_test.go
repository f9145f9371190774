package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// redisPing is a program for the stories of exec: a client that knows nothing
// of Entra. It logs in with PASSWORD, if there is one, at ADDR, and prints what
// PING is answered, or the refusal.
func redisPing() {
	network, addr := "tcp", os.Getenv("ADDR")
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer conn.Close()
	commands := [][]string{{"PING"}}
	if password := os.Getenv("PASSWORD"); password != "" {
		commands = [][]string{{"AUTH", password}, {"PING"}}
	}
	replies := resp.NewReader(conn)
	var reply []byte
	for _, args := range commands {
		if _, err := conn.Write(resp.AppendCommand(nil, args...)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if reply, err = replies.ReadFrame(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if reply[0] == '-' {
			break
		}
	}
	fmt.Println(strings.TrimSpace(string(reply[1:])))
}
