// Carrying on after a broken connection, with go-redis through the Dialer.
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
	"github.com/redis/go-redis/v9"
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

	dialer := &entraredis.Dialer{Source: source, TLSConfig: where.TLS()}
	client := redis.NewClient(&redis.Options{
		Addr:        where.Addr(),
		Dialer:      dialer.DialContext,
		DialTimeout: 20 * time.Second, // the service may take 10 s to look at a token
	})
	defer client.Close()

	for try := range tries {
		value, err := say(ctx, client, fmt.Sprintf("hello %d", try))
		if err != nil {
			// A broken connection is gone from the pool. The next command dials
			// another, which the Dialer authenticates with the token valid then.
			fmt.Println("error:", err)
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
func say(ctx context.Context, client *redis.Client, value string) (string, error) {
	if err := client.Set(ctx, "entraredis:hello", value, 0).Err(); err != nil {
		return "", err
	}
	return client.Get(ctx, "entraredis:hello").Result()
}
