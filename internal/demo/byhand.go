package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/redis/go-redis/v9"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/credential"
)

// byHand is go-redis as many programs use it with Entra: a token is fetched
// once and given as the password, and fetched again when commands fail.
type byHand struct {
	st    *stage
	cred  azcore.TokenCredential
	tally *tally

	mu      sync.Mutex // guards client and expires; never held across a command
	client  *redis.Client
	expires time.Time
}

func (c *cast) addByHand(ctx context.Context, st *stage) error {
	cred, err := st.credential(credential.ClientSecret, plainApp)
	if err != nil {
		return err
	}
	r := &row{name: "plain go-redis", kind: credential.ClientSecret}
	h := &byHand{st: st, cred: cred, tally: &r.tally}
	r.expires = h.expiry
	if err := h.login(ctx, nil); err != nil {
		return fmt.Errorf("plain client: %w", err)
	}
	c.rows = append(c.rows, r)
	c.closes = append(c.closes, func() error { return h.current().Close() })
	for i := range workers {
		key := fmt.Sprintf("%s:%d", r.name, i)
		c.jobs = append(c.jobs, func(wg *sync.WaitGroup, stop <-chan struct{}) {
			work(wg, stop, pace, &r.tally, func(ctx context.Context) (int, error) {
				client := h.current()
				err := client.Incr(ctx, key).Err()
				if err != nil {
					// A failed login shows as the next command's failure.
					_ = h.login(ctx, client)
				}
				return 1, err
			})
		})
	}
	return nil
}

func (h *byHand) current() *redis.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.client
}

func (h *byHand) expiry() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}

// login replaces the client that failed by one with a new token, unless
// another worker has done so.
func (h *byHand) login(ctx context.Context, failed *redis.Client) error {
	if h.current() != failed {
		return nil
	}
	token, err := h.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{entraredis.DefaultScope}})
	if err != nil {
		return err
	}
	o := &redis.Options{
		Addr:      h.st.emulator.RedisAddr(),
		TLSConfig: h.st.emulator.TLSConfig(),
		Username:  h.st.emulator.Principal(plainApp).ObjectID,
		Password:  token.Token,
		PoolSize:  workers,
	}
	o.Dialer = h.tally.watch(redis.NewDialer(o))
	if h.replace(failed, redis.NewClient(o), token.ExpiresOn) && failed != nil {
		failed.Close()
	}
	return nil
}

// replace reports whether it put next in the place of failed; if not, next is
// closed. A client without commands has no connections yet.
func (h *byHand) replace(failed, next *redis.Client, expires time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.client != failed {
		next.Close()
		return false
	}
	h.client, h.expires = next, expires
	return true
}
