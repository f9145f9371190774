// Hello world with go-redis through adapter/goredis.
package main

import (
	"context"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return err
	}
	source, err := entraredis.New(credential, nil)
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

	if err := client.Set(ctx, "entraredis:hello", "hello world", 0).Err(); err != nil {
		return err
	}
	value, err := client.Get(ctx, "entraredis:hello").Result()
	if err != nil {
		return err
	}
	fmt.Println(value)
	return nil
}
