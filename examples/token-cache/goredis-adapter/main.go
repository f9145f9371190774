// Token cache with go-redis through adapter/goredis: the Source refreshes the
// token ahead of its expiry, and go-redis re-AUTHs its pooled connections as
// commands touch them.
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
	"github.com/entraredis/entraredis/adapter/goredis"
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
	source, err := entraredis.New(credential, &entraredis.Options{OnEvent: report})
	if err != nil {
		return err
	}
	defer source.Close()

	client := redis.NewClient(&redis.Options{
		Addr:                         where.Addr(),
		TLSConfig:                    where.TLS(),
		StreamingCredentialsProvider: goredis.New(source),
		ReadTimeout:                  15 * time.Second, // the service may take 10 s to look at a token
	})
	defer client.Close()

	for try := range tries {
		value, err := say(ctx, client, fmt.Sprintf("hello %d", try))
		if err != nil {
			// See docs/errors.md for WRONGPASS and NOPERM.
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

// report prints what happens to the token.
func report(event entraredis.Event) {
	switch event.Type {
	case entraredis.EventRefreshed:
		fmt.Println("refreshed token, expires", event.ExpiresOn.Format(time.TimeOnly))
	case entraredis.EventRefreshFailed:
		fmt.Println("refresh failed, and will be tried again:", event.Err)
	}
}
