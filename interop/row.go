package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
)

// client is one of the libraries.
type client struct {
	name       string
	module     string
	topologies []string
	protocols  []int
	open       func(context.Context, target) (driver, error)
}

var (
	everywhere = []string{single, sentinel, cluster}
	both       = []int{2, 3}
)

var clients = []client{
	{"go-redis", "github.com/redis/go-redis/v9", everywhere, both, openGoRedis},
	{"rueidis", "github.com/redis/rueidis", everywhere, both, openRueidis},
	{"valkey-go", "github.com/valkey-io/valkey-go", everywhere, both, openValkey},
	{"redigo", "github.com/gomodule/redigo", []string{single}, []int{2}, openRedigo},
	{"radix", "github.com/mediocregopher/radix/v4", everywhere, both, openRadix},
}

// row is one client on one topology in one protocol.
type row struct {
	client   client
	topology string
	protocol int
}

func (r row) String() string {
	return fmt.Sprintf("%s/%s/RESP%d", r.client.name, r.topology, r.protocol)
}

// rows returns those whose name holds all the words.
func rows(words []string) (selected []row) {
	for _, topology := range everywhere {
		for _, c := range clients {
			for _, t := range c.topologies {
				for _, p := range c.protocols {
					if r := (row{c, t, p}); t == topology && holdsAll(r.String(), words) {
						selected = append(selected, r)
					}
				}
			}
		}
	}
	return selected
}

func holdsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(strings.ToLower(s), strings.ToLower(strings.TrimSpace(w))) {
			return false
		}
	}
	return true
}

// version of a module that this program is built with.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "?"
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "?"
}
