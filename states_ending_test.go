package entraredis_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
)

// Connections that end with a token all the same, and those that are close to it.
var endingStates = []state{
	{name: "monitor", server: "miniredis has no MONITOR", hold: holdMonitor},
	{name: "half-a-command-past-expiry", hold: holdHalfACommandPastExpiry},
	{name: "own-auth", hold: holdOwnAuth},
	{name: "refused-auth", hold: holdRefusedAuth},
	{name: "refused-auth-at-times", virtual: "tokens of two seconds leave no time for several tries", hold: holdRefusedAuthAtTimes},
	{name: "slow-auth", virtual: "twenty lifetimes that have room for an AUTH of ten seconds are forty minutes", hold: holdSlowAuth},
}

// To a monitor the reply to an AUTH cannot be told from the stream for certain,
// and every other monitor would see the command: the connection ends with its token.
func holdMonitor(h *held) {
	h.ownRedis() // there is enough to see
	c, other := h.dial(), h.dial()
	c.do("+OK\r\n", "MONITOR")
	ended := make(chan struct{})
	done := h.aside(c, func() error {
		for n := 1; ; n++ {
			if err := other.exchange(integer(n), "INCR", "monitored"); err != nil {
				return err
			}
			select {
			case <-ended:
				return nil
			case <-h.tick.C:
			}
		}
	})
	seen := 0
	for {
		f, err := c.r.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || f[0] != '+' || !strings.Contains(string(f), " [") {
			h.Fatalf("got %q, %v, want a line of the stream", f, err)
		}
		if strings.Contains(string(f), `"monitored"`) {
			seen++
		}
	}
	close(ended)
	done()
	if seen == 0 {
		h.Error("saw no command")
	}
	if ev := h.expired("monitor"); ev.Err != nil {
		h.Errorf("got error %v, want none", ev.Err)
	}
}

// What comes behind half a command is a part of it, whatever it is.
func holdHalfACommandPastExpiry(h *held) {
	c, other := h.dial(), h.dial()
	b := resp.AppendCommand(nil, "SET", "half", "never written")
	if _, err := c.Write(b[:len(b)-5]); err != nil {
		h.Fatal(err)
	}
	c.ends()
	h.expired("half-written-command")
	other.do("$-1\r\n", "GET", "half")
}

// A client that sends AUTH itself means it: the connection is its own affair.
func holdOwnAuth(h *held) {
	c := h.dial()
	token, expires := h.mint(int64(3 * h.life() / time.Second))
	c.do("+OK\r\n", "AUTH", emulator.AppObjectID, token)
	before := h.dialer.Stats().Reauths
	c.ends()
	if now := time.Now(); now.Before(expires) {
		h.Errorf("ended at %v, before the client's token did at %v", now, expires)
	}
	if got := h.dialer.Stats().Reauths - before; got != 0 {
		h.Errorf("%d re-AUTHs over the client's own", got)
	}
	h.expired("client-authenticated-itself")
}

// A refused AUTH leaves the old identity in place, so the connection serves
// until the old token ends.
func holdRefusedAuth(h *held) {
	h.ownEmulator(emulator.Options{})
	c := h.dial()
	<-h.over
	c.outlived()
	h.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "WRONGPASS invalid username-password pair"})
	expires := h.em.Connections()[0].TokenExpiry
	for n := 1; ; n++ {
		if _, err := c.Write(resp.AppendCommand(nil, "INCR", "refused")); err != nil {
			break
		}
		f, err := c.r.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || string(f) != integer(n) {
			h.Fatalf("got %q, %v, want %d", f, err, n)
		}
		select {
		case <-h.tick.C:
		case <-h.gaveUp:
			h.Fatal("the connection outlived its token")
		}
	}
	if now := time.Now(); now.Before(expires) {
		h.Errorf("ended at %v, before its token did at %v", now, expires)
	}
	ev := h.expired(string(entraredis.KindNotAssigned))
	if auth, ok := errors.AsType[*entraredis.AuthError](ev.Err); !ok || !strings.Contains(auth.Error(), "WRONGPASS") {
		h.Errorf("the event has the error %v, want what Redis said", ev.Err)
	}
	refused := h.of(entraredis.EventReauthRefused)
	if len(refused) < 2 || len(refused) > 100 || uint64(len(refused)) != h.dialer.Stats().ReauthRefused {
		h.Errorf("%d refusals reported and %d counted, want a few and as many", len(refused), h.dialer.Stats().ReauthRefused)
	}
	if !h.virtual || len(refused) < 2 {
		return
	}
	first, longest := refused[1].Time.Sub(refused[0].Time), time.Duration(0)
	for i := range refused[1:] {
		longest = max(longest, refused[i+1].Time.Sub(refused[i].Time))
	}
	if longest < 4*first {
		h.Errorf("pauses between tries grew from %v to %v only", first, longest)
	}
}

func holdRefusedAuthAtTimes(h *held) {
	c := h.dial()
	n := 0
	for ; h.rest(); n++ {
		if n%40 == 0 {
			h.em.SetFault(emulator.Fault{Endpoint: "redis-auth", Body: "ERR WRONGPASS invalid username-password pair", Count: 3})
		}
		c.do(integer(n+1), "INCR", "refused-at-times")
	}
	c.outlived()
	if got, want := h.dialer.Stats().ReauthRefused, uint64(*lifetimes); got < want {
		h.Errorf("%d refusals in %d lifetimes: this proves nothing", got, *lifetimes)
	}
}

// An AUTH that the service takes ten seconds to check keeps the commands behind
// it waiting, and nothing else.
func holdSlowAuth(h *held) {
	const check = 10 * time.Second
	h.em = emulate(h.T, "", emulator.Options{AuthDelay: check, TokenLifetime: 2 * time.Minute}, nil)
	c := h.dial()
	sent := make(chan time.Time, 1<<20)
	var last int
	done := h.aside(c, func() error {
		for h.rest() {
			sent <- time.Now()
			last++
			if _, err := c.Write(resp.AppendCommand(nil, "ECHO", fmt.Sprint(last))); err != nil {
				return err
			}
		}
		close(sent)
		return nil
	})
	n, late := 0, 0
	for at := range sent {
		n++
		c.want(bulk(fmt.Sprint(n)))
		switch took := time.Since(at); {
		case took > check:
			h.Errorf("reply %d came after %v, want at most the %v of one AUTH", n, took, check)
		case took > check/2:
			late++
		}
	}
	done()
	if n != last {
		h.Errorf("%d replies to %d commands", n, last)
	}
	// Its tokens live twice as long.
	if got, want := c.reauths(), *lifetimes/2-1; got < want || late < want {
		h.Errorf("%d re-AUTHs and %d late replies, want at least %d of each", got, late, want)
	}
}
