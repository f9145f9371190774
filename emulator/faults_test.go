package emulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator"
)

// ask requests the openid configuration and returns what came.
func ask(ctx context.Context, e *emulator.Emulator) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.IssuerURL()+"/common/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		return 0, "", err
	}
	response, err := e.HTTPClient().Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

// TestFaults runs over sockets and in process: both must behave alike.
func TestFaults(t *testing.T) {
	for name, options := range map[string]emulator.Options{"sockets": {}, "in process": {NoListen: true}} {
		t.Run(name, func(t *testing.T) {
			e := emulator.RunT(t, options)
			ctx := context.Background()
			good := func(when string) {
				t.Helper()
				if status, body, err := ask(ctx, e); status != http.StatusOK || err != nil || !strings.Contains(body, "token_endpoint") {
					t.Errorf("%s: got %d, %v", when, status, err)
				}
			}
			good("without faults")

			clear := e.SetFault(emulator.Fault{Status: 503, Body: "busy"})
			for range 2 {
				if status, body, _ := ask(ctx, e); status != 503 || body != "busy" {
					t.Errorf("status: got %d %q", status, body)
				}
			}
			clear()
			clear()
			good("cleared")

			e.SetFault(emulator.Fault{Endpoint: "openid", Body: "<garbage", Count: 1})
			if status, body, _ := ask(ctx, e); status != 200 || body != "<garbage" {
				t.Errorf("garbage: got %d %q", status, body)
			}
			good("after the count")

			e.SetFault(emulator.Fault{Endpoint: "token", Status: 500})
			e.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "ERR no"})
			good("with faults elsewhere")

			// net/http repeats a GET whose connection was closed while idle.
			clear = e.SetFault(emulator.Fault{Reset: true})
			if _, _, err := ask(ctx, e); err == nil {
				t.Error("reset: got an answer")
			}
			clear()
			good("after a reset")

			e.SetFault(emulator.Fault{Delay: time.Millisecond, Count: 1})
			good("delayed")

			leaving, leave := context.WithTimeout(ctx, 10*time.Millisecond)
			clear = e.SetFault(emulator.Fault{Hang: true})
			if _, _, err := ask(leaving, e); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("hang: got %v", err)
			}
			leave()
			answered := make(chan error, 1)
			go func() {
				status, _, err := ask(ctx, e)
				if err == nil && status != http.StatusOK {
					err = errors.New(http.StatusText(status))
				}
				answered <- err
			}()
			clear()
			if err := <-answered; err != nil {
				t.Errorf("cleared hang: %v", err)
			}
		})
	}
}

func TestDelayAndHangTakeTheTimeTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulator.RunT(t, emulator.Options{NoListen: true})
		start := time.Now()
		e.SetFault(emulator.Fault{Delay: 7 * time.Second, Status: 429, Count: 1})
		if status, _, err := ask(context.Background(), e); status != 429 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		if got := time.Since(start); got != 7*time.Second {
			t.Errorf("delay: answered after %v", got)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		e.SetFault(emulator.Fault{Delay: time.Second, Hang: true})
		if _, _, err := ask(ctx, e); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hang: %v", err)
		}
		if got := time.Since(start); got != 67*time.Second {
			t.Errorf("hang: left after %v", got)
		}
	})
}
