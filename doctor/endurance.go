package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/entraredis/entraredis"
)

// beat is how often the watched connection is used. It is well below the ten
// minutes after which Azure closes an idle one.
const beat = time.Second

// checkEndurance holds one connection of the library's for Watch, uses it, and
// tells of each refresh and re-AUTH.
func checkEndurance(ctx context.Context, x *exam, r *Result) {
	// One connection is watched: that of the checks before would re-AUTH too.
	x.conn.Close()
	dialer := &entraredis.Dialer{Source: x.source, ServerName: x.serverName(), TLSConfig: x.TLSConfig, Plaintext: x.Plaintext,
		ConnectTimeout: x.ConnectTimeout, AuthTimeout: x.AuthTimeout, NetDial: x.NetDial}
	conn, err := dialer.DialContext(ctx, "tcp", x.addr())
	if err != nil {
		r.say("no connection to watch")
		r.fail(x.authFinding(err, 0))
		return
	}
	c := newClient(conn)
	defer c.Close()
	for len(x.events) > 0 { // of the checks before
		<-x.events
	}
	w := watch{exam: x, began: time.Now(), expires: x.token.ExpiresOn}
	end, tick := time.NewTimer(x.Watch), time.NewTicker(beat)
	defer end.Stop()
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			w.finish(r)
			return
		case <-ctx.Done():
			return
		case e := <-x.events:
			w.event(e)
		case <-tick.C:
			// Any reply will do, a refusal too: what counts is that one comes.
			if _, err := c.do(ctx, "PING"); err != nil {
				w.drain()
				w.dropped(r, err)
				return
			}
			w.commands++
		}
	}
}

// watch counts what happens while a connection is held.
type watch struct {
	*exam
	began                       time.Time
	expires                     time.Time // of the first token
	commands                    int
	refreshes, reauths, refused int
	failures                    int
	lastErr                     error
}

func (w *watch) drain() {
	for len(w.events) > 0 {
		w.event(<-w.events)
	}
}

func (w *watch) event(e entraredis.Event) {
	after := e.Time.Sub(w.began).Round(time.Second)
	switch e.Type {
	case entraredis.EventRefreshed:
		w.refreshes++
		w.progress(fmt.Sprintf("%s: token refreshed, now until %s", after, stamp(e.ExpiresOn)))
	case entraredis.EventReauthenticated:
		w.reauths++
		w.progress(fmt.Sprintf("%s: connection re-authenticated, now until %s", after, stamp(e.ExpiresOn)))
	case entraredis.EventRefreshFailed:
		w.failures++
		w.lastErr = e.Err
		w.progress(fmt.Sprintf("%s: refresh failed: %v", after, e.Err))
	case entraredis.EventReauthRefused:
		w.refused++
		w.lastErr = e.Err
		w.progress(fmt.Sprintf("%s: re-AUTH refused: %v", after, e.Err))
	}
}

func (w *watch) facts(r *Result) {
	r.fact("watched", "%s", time.Since(w.began).Round(time.Second))
	r.fact("commands", "%d", w.commands)
	r.fact("refreshes", "%d", w.refreshes)
	r.fact("re-AUTHs", "%d", w.reauths)
	r.fact("refreshes failed", "%d", w.failures)
	r.fact("re-AUTHs refused", "%d", w.refused)
}

func (w *watch) finish(r *Result) {
	w.drain()
	w.facts(r)
	r.say("%s on one connection: %d commands, %d refreshes, %d re-AUTHs", w.Watch, w.commands, w.refreshes, w.reauths)
	switch {
	case w.refused > 0 || w.failures > 0:
		f := Finding{Kind: entraredis.KindUnknown, Anchor: "refresh-troubled",
			Observed: fmt.Sprintf("%d refreshes failed, %d re-AUTHs were refused", w.failures, w.refused),
			Means:    "the connection lived on, with the tokens it had: the issuer or the cache refused now and then"}
		if w.lastErr != nil {
			f.Observed += ": " + w.lastErr.Error()
			f.Remedy = "Nothing is lost as long as it passes; mend its cause before it lasts longer than a token. " + remedyOf(w.lastErr)
		}
		r.warn(f)
	case w.reauths == 0:
		r.warn(Finding{Kind: entraredis.KindExpired, Anchor: "watched-too-short",
			Observed: fmt.Sprintf("no re-AUTH within %s; the token held ends at %s", w.Watch, stamp(w.expires)),
			Means:    "the watch ended before there was a new token, so it proves nothing about expiry",
			Remedy:   fmt.Sprintf("Watch longer than the token lives: --watch %s.", (time.Until(w.expires) + 5*time.Minute).Round(time.Minute))})
	}
}

func (w *watch) dropped(r *Result, err error) {
	w.facts(r)
	lived := time.Since(w.began).Round(time.Second)
	r.say("the connection ended after %s", lived)
	f := Finding{Kind: entraredis.KindUnreachable, Anchor: "dropped", Observed: fmt.Sprintf("after %s: %v", lived, err),
		Means:  "the connection ended while its token was valid: a failover, maintenance, or something in between that cuts connections",
		Remedy: "Clients must reconnect by themselves. If it repeats at a fixed age, look for a load balancer's or firewall's time-out; compare with the cache's maintenance window and its Errors metric."}
	if !w.expires.After(time.Now().Add(beat)) && w.reauths == 0 {
		f.Kind, f.Anchor = entraredis.KindExpired, "dropped-at-expiry"
		f.Means = "the token ended and no new one had been accepted on the connection before"
		f.Remedy = "Mend what kept a new token away. The credential kept returning the old one: have it acquire a new one."
		if w.lastErr != nil {
			f.Means += ": " + w.lastErr.Error()
			f.Remedy = "Mend what kept a new token away. " + remedyOf(w.lastErr)
		}
	}
	r.fail(f)
}

// remedyOf is the remedy of a refused re-AUTH or a failed refresh.
func remedyOf(err error) string {
	if e, ok := errors.AsType[*entraredis.AuthError](err); ok {
		return e.Remedy()
	}
	return tokenFinding(err).Remedy
}
