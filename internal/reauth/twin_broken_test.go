//go:build unix

package reauth_test

import (
	"testing"

	"github.com/entraredis/entraredis/internal/reauth"
)

// Trackers that are wrong in one point each.

// hasty lets an AUTH go into a transaction.
type hasty struct{ follower }

func (f hasty) Deferred() reauth.Reason {
	if why := f.follower.Deferred(); why != reauth.Transaction {
		return why
	}
	return reauth.None
}

// intrusive lets an AUTH go to a subscriber.
type intrusive struct{ follower }

func (f intrusive) Deferred() reauth.Reason {
	if why := f.follower.Deferred(); why != reauth.Subscribed {
		return why
	}
	return reauth.None
}

// leaky shows the client the answers to our AUTHs.
type leaky struct{ follower }

func (f leaky) Server(b []byte) (int, reauth.Verdict, error) {
	n, v, err := f.follower.Server(b)
	if v == reauth.Swallow {
		v = reauth.Pass
	}
	return n, v, err
}

// greedy expects two answers to each AUTH.
type greedy struct{ follower }

func (f greedy) Injected() {
	f.follower.Injected()
	f.follower.Injected()
}

// forgetful loses what was held back.
type forgetful struct{ follower }

func (f forgetful) TakeHeld() []byte {
	f.follower.TakeHeld()
	return nil
}

// TestTransparentNotices checks that TestTransparent can fail.
func TestTransparentNotices(t *testing.T) {
	p := startPairs(t, 1)[0]
	for name, wrong := range map[string]func(follower) follower{
		"AUTH inside MULTI":     func(f follower) follower { return hasty{f} },
		"AUTH to a subscriber":  func(f follower) follower { return intrusive{f} },
		"answers not swallowed": func(f follower) follower { return leaky{f} },
		"replies swallowed":     func(f follower) follower { return greedy{f} },
		"bytes lost":            func(f follower) follower { return forgetful{f} },
	} {
		const within = 300
		noticed := 0
		for i := uint64(1); i <= within && noticed == 0; i++ {
			if _, err := p.compare(newScript(i), func(sc *script) follower { return wrong(tracker(sc)) }); err != nil {
				noticed = int(i)
			}
		}
		if noticed == 0 {
			t.Errorf("%s: not noticed within %d conversations", name, within)
		}
		t.Logf("%s: noticed at conversation %d", name, noticed)
	}
}
