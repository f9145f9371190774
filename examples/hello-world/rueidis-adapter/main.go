// Hello world with rueidis through adapter/rueidis.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/entraredis/entraredis"
	rueidisentra "github.com/entraredis/entraredis/adapter/rueidis"
	"github.com/entraredis/entraredis/examples/internal/where"
	"github.com/redis/rueidis"
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

	client, err := rueidis.NewClient(rueidisentra.Option(source, rueidis.ClientOption{
		InitAddress:       []string{where.Addr()},
		TLSConfig:         where.TLS(),
		Dialer:            net.Dialer{Timeout: 20 * time.Second}, // the service may take 10 s to look at a token
		ForceSingleClient: true,
		DisableCache:      true, // caching needs CLIENT TRACKING, which the policy Data Contributor refuses
	}))
	if err != nil {
		return err
	}
	defer client.Close()

	set := client.B().Set().Key("entraredis:hello").Value("hello world").Build()
	if err := client.Do(ctx, set).Error(); err != nil {
		return err
	}
	value, err := client.Do(ctx, client.B().Get().Key("entraredis:hello").Build()).ToString()
	if err != nil {
		return err
	}
	fmt.Println(value)
	return nil
}
