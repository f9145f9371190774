// Hello world with a username and token fetched once, for a client without a
// credentials hook (redigo). The connection ends with the token.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/examples/internal/where"
	"github.com/gomodule/redigo/redis"
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

	conn, err := connect(ctx, source)
	if err != nil {
		return err
	}
	defer conn.Close()

	if _, err := redis.DoContext(conn, ctx, "SET", "entraredis:hello", "hello world"); err != nil {
		return err
	}
	value, err := redis.String(redis.DoContext(conn, ctx, "GET", "entraredis:hello"))
	if err != nil {
		return err
	}
	fmt.Println(value)
	return nil
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
