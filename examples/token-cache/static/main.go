// Token cache with re-AUTH by hand: each new token is sent on the live
// connection before the old one expires (redigo).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
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

	// Whoever uses the connection holds this lock: AUTH must not fall inside a
	// MULTI, nor between a command and its reply.
	var mu sync.Mutex
	var conn redis.Conn

	mu.Lock() // until connected, so that no new token falls in between
	unsubscribe := source.Subscribe(func(token entraredis.Token) {
		mu.Lock()
		defer mu.Unlock()
		if conn == nil {
			return
		}
		if _, err := conn.Do("AUTH", token.Username, token.Password()); err != nil {
			fmt.Println("error:", err) // the connection keeps its old token until that expires
			return
		}
		fmt.Println("re-AUTHed connection, token expires", token.ExpiresOn.Format(time.TimeOnly))
	})
	defer unsubscribe()
	conn, err = connect(ctx, source)
	mu.Unlock()
	if err != nil {
		return err
	}
	defer conn.Close()

	for try := range tries {
		mu.Lock()
		value, err := say(ctx, conn, fmt.Sprintf("hello %d", try))
		mu.Unlock()
		if err != nil {
			return err // see ../../reauthentication/static for carrying on
		}
		fmt.Println(value)
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
