package front_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/entraredis/entraredis/emulator/internal/front"
)

// A client library's own way of connecting, pipelining, transactions and
// subscriptions, in both protocols and flavours.
func TestGoRedis(t *testing.T) {
	for _, flavor := range []string{"acr", "amr", "redis"} {
		for _, protocol := range []int{2, 3} {
			t.Run(flavor+" RESP"+string(rune('0'+protocol)), func(t *testing.T) {
				r := newRig(t, front.Config{Flavor: flavor})
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				go r.Serve(ln)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				c := redis.NewClient(&redis.Options{Addr: ln.Addr().String(), Protocol: protocol, Username: "ada", Password: owner, ClientName: "me"})
				defer c.Close()

				if err := c.Set(ctx, "a", "1", 0).Err(); err != nil {
					t.Fatal(err)
				}
				cmds, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
					p.Incr(ctx, "a")
					p.ClientGetName(ctx)
					return nil
				})
				if err != nil || cmds[0].(*redis.IntCmd).Val() != 2 || cmds[1].(*redis.StringCmd).Val() != "me" {
					t.Errorf("got %v, %v", cmds, err)
				}
				sub := c.Subscribe(ctx, "news")
				defer sub.Close()
				if _, err := sub.Receive(ctx); err != nil {
					t.Fatal(err)
				}
				if err := c.Publish(ctx, "news", "x").Err(); err != nil {
					t.Fatal(err)
				}
				if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != "x" {
					t.Errorf("got %v, %v", m, err)
				}
				if err := c.RPush(ctx, "list", "x").Err(); err != nil {
					t.Fatal(err)
				}
				if got, err := c.BLPop(ctx, 0, "list").Result(); err != nil || len(got) != 2 || got[1] != "x" {
					t.Errorf("got %v, %v", got, err)
				}
				if got := r.Stats().AuthsRefused; got != 0 {
					t.Errorf("got %d refused AUTHs, want 0", got)
				}
			})
		}
	}
}
