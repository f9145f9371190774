// Carrying on after a broken connection by hand: when the service has closed
// the connection, because its token expired or for any other reason, another is
// opened with the token valid then (redigo).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/examples/internal/where"
	"github.com/gomodule/redigo/redis"
)

func main() {
	tries := flag.Int("tries", 3, "how often to use the cache")
	pause := flag.Duration("pause", time.Second, "how long to wait between two tries")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *tries, *pause)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, tries int, pause time.Duration) error {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return err
	}
	source, err := entraredis.New(credential, nil)
	if err != nil {
		return err
	}
	defer source.Close()

	conn, err := connect(ctx, source)
	if err != nil {
		return err
	}
	defer func() { conn.Close() }()

	for try := range tries {
		value, err := say(ctx, conn, fmt.Sprintf("hello %d", try))
		if err != nil {
			fmt.Println("error:", err)
			if conn.Err() != nil { // broken, not just a refused command
				conn.Close()
				if conn, err = connect(ctx, source); err != nil {
					return err
				}
				fmt.Println("connected again")
			}
		} else {
			fmt.Println(value)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// say writes a value and reads it back.
func say(ctx context.Context, conn redis.Conn, value string) (string, error) {
	if _, err := redis.DoContext(conn, ctx, "SET", "entraredis:hello", value); err != nil {
		return "", err
	}
	return redis.String(redis.DoContext(conn, ctx, "GET", "entraredis:hello"))
}

// connect opens one connection with the username and token valid now. Nothing
// replaces them later.
func connect(ctx context.Context, source *entraredis.Source) (redis.Conn, error) {
	token, err := source.Token(ctx)
	if err != nil {
		return nil, err
	}
	return redis.DialContext(ctx, "tcp", where.Addr(),
		redis.DialUseTLS(true),
		redis.DialTLSConfig(where.TLS()),
		redis.DialUsername(token.Username),
		redis.DialPassword(token.Password()),
	)
}
