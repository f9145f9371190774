// Carrying on after a broken connection, with rueidis through adapter/rueidis.
package main

import (
	"context"
	"flag"
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

	for try := range tries {
		value, err := say(ctx, client, fmt.Sprintf("hello %d", try))
		if err != nil {
			// A broken connection is replaced at the next command, and asks the
			// Source for the token valid then. rueidis repeats reads by itself;
			// a write that may have run is yours to repeat.
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
func say(ctx context.Context, client rueidis.Client, value string) (string, error) {
	set := client.B().Set().Key("entraredis:hello").Value(value).Build()
	if err := client.Do(ctx, set).Error(); err != nil {
		return "", err
	}
	return client.Do(ctx, client.B().Get().Key("entraredis:hello").Build()).ToString()
}
