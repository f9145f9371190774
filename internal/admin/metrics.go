package admin

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/daemon"
	"github.com/entraredis/entraredis/proxy"
)

// metric describes one: the labels come behind "target".
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("entraredis_"+name, help, append([]string{"target"}, labels...), nil)
}

// What is measured. docs/operations.md has a line for each.
var (
	mUp            = metric("target_up", "1 if the target accepts clients, else 0.")
	mClients       = metric("clients", "Clients connected.")
	mAccepted      = metric("clients_accepted_total", "Clients that have come, refused ones included.")
	mRefused       = metric("clients_refused_total", "Clients refused because there were too many.")
	mOversized     = metric("oversized_total", "Clients closed because of a command or a reply that was larger than the limit.", "what")
	mLogins        = metric("logins_failed_total", "Wrong passwords of clients.")
	mBytes         = metric("bytes_total", "Bytes carried: up to the cache, down to clients.", "direction")
	mCommands      = metric("commands_total", "Commands of clients, as far as they can be told apart.")
	mLatency       = metric("reply_seconds", "Time from when a client that was owed nothing sent something until its reply began to come.")
	mExpiry        = metric("token_expiry_seconds", "Seconds until the access token expires; negative behind that. Absent before the first token.")
	mRefreshes     = metric("token_refreshes_total", "Acquisitions of an access token: new, unchanged (the token already held) or failed.", "result")
	mRefreshFails  = metric("token_refresh_failures_total", "Acquisitions of an access token that failed, by kind of error.", "kind")
	mUpstreams     = metric("upstream_connections", "Connections to the cache open now.")
	mDials         = metric("dials_total", "Attempts to open a connection to the cache, checks and spares included.")
	mDialFailures  = metric("dial_failures_total", "Connections to the cache that could not be opened or replaced, whatever they were for, by kind of error.", "kind")
	mDialing       = metric("dials", "Connections to the cache being opened for clients or as spares: active, or waiting for their turn.", "state")
	mSpares        = metric("spares", "Connections to the cache that are ready and that nobody uses yet.")
	mSparesTaken   = metric("spares_taken_total", "Clients that got a spare connection.")
	mPipes         = metric("shared_upstreams", "Connections to the cache that clients share, open now.")
	mPipesLost     = metric("shared_upstreams_lost_total", "Shared connections to the cache that ended.")
	mCommandsLost  = metric("commands_lost_total", "Commands answered with an error because their shared connection ended.")
	mMoves         = metric("client_moves_total", "Moves of a client from shared connections to one of its own.")
	mSlowReaders   = metric("slow_readers_total", "Clients closed because they did not read their replies from a shared connection.")
	mRestored      = metric("upstreams_restored_total", "Connections to the cache that ended while their client was owed nothing, and were replaced without it.")
	mMaintenance   = metric("maintenance_events_total", "Events that the cache has announced on AzureRedisEvents.", "type")
	mReauths       = metric("reauths_total", "re-AUTHs answered by the cache: accepted or refused.", "result")
	mRefusals      = metric("reauth_refusals_total", "re-AUTHs refused by the cache, by kind of error.", "kind")
	mDeferred      = metric("reauths_deferred_total", "re-AUTHs that had to wait for the connection's state to allow one.", "reason")
	mHandovers     = metric("handovers_total", "RESP2 subscribers handed over to another connection in the place of a re-AUTH: accepted, or failed and tried again.", "result")
	mExpired       = metric("connections_expired_total", "Connections to the cache that ended because their token did.")
	mBuild         = prometheus.NewDesc("entraredis_build_info", "1, with the version.", []string{"version", "go"}, nil)
	mReloads       = prometheus.NewDesc("entraredis_config_reloads_total", "Configurations read again, by result: applied, or rejected, if only in part.", []string{"result"}, nil)
	mReloadSuccess = prometheus.NewDesc("entraredis_config_last_reload_successful", "1 unless the last configuration, or a target in it, was rejected.", nil, nil)
)

// collector makes the metrics from one snapshot per scrape.
type collector struct{ *server }

func metricsHandler(s *server) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// Describe sends nothing: kinds and reasons are known only when they occur.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	kinds := func(d *prometheus.Desc, counts map[entraredis.Kind]uint64, target string) {
		for kind, v := range counts {
			counter(d, v, target, string(kind))
		}
	}
	now := time.Now()
	gauge(mBuild, 1, c.Version, runtime.Version())
	if c.Reloads != nil {
		r := c.Reloads()
		counter(mReloads, r.Good, "applied")
		counter(mReloads, r.Bad, "rejected")
		gauge(mReloadSuccess, oneIf(r.Err == ""))
	}
	for _, t := range c.Daemon.Status() {
		n := t.Name
		gauge(mUp, oneIf(t.State == daemon.Serving), n)
		gauge(mClients, float64(t.Proxy.Clients), n)
		counter(mAccepted, t.Proxy.Accepted, n)
		counter(mRefused, t.Proxy.Refused, n)
		counter(mOversized, t.Proxy.OversizedCommands, n, "command")
		counter(mOversized, t.Proxy.OversizedReplies, n, "reply")
		counter(mLogins, t.Proxy.LoginsFailed, n)
		counter(mBytes, t.Proxy.BytesUp, n, "up")
		counter(mBytes, t.Proxy.BytesDown, n, "down")
		counter(mCommands, t.Proxy.Commands, n)
		out <- histogram(mLatency, t.Proxy.Latencies, n)
		if !t.Token.ExpiresOn.IsZero() {
			gauge(mExpiry, t.Token.ExpiresOn.Sub(now).Seconds(), n)
		}
		counter(mRefreshes, t.Token.Refreshes, n, "new")
		counter(mRefreshes, t.Token.Unchanged, n, "unchanged")
		counter(mRefreshes, t.Token.Failures, n, "failed")
		kinds(mRefreshFails, t.Token.Failed, n)
		gauge(mUpstreams, float64(t.Dialer.Open), n)
		counter(mDials, t.Dialer.Dials, n)
		kinds(mDialFailures, t.Proxy.FailedDials, n)
		gauge(mDialing, float64(t.Proxy.Dialing), n, "active")
		gauge(mDialing, float64(t.Proxy.DialsWaiting), n, "waiting")
		gauge(mSpares, float64(t.Proxy.Spares), n)
		counter(mSparesTaken, t.Proxy.SparesTaken, n)
		gauge(mPipes, float64(t.Proxy.Pipes), n)
		counter(mPipesLost, t.Proxy.PipesLost, n)
		counter(mCommandsLost, t.Proxy.CommandsLost, n)
		counter(mMoves, t.Proxy.Moves, n)
		counter(mSlowReaders, t.Proxy.SlowReaders, n)
		counter(mRestored, t.Proxy.Restored, n)
		for kind, count := range t.Proxy.Maintenance {
			counter(mMaintenance, count, n, kind)
		}
		counter(mReauths, t.Dialer.Reauths, n, "accepted")
		counter(mReauths, t.Dialer.ReauthRefused, n, "refused")
		kinds(mRefusals, t.Dialer.Refused, n)
		for reason, count := range t.Dialer.Deferred {
			counter(mDeferred, count, n, reason)
		}
		counter(mHandovers, t.Dialer.Handovers, n, "accepted")
		counter(mHandovers, t.Dialer.HandoverFailed, n, "failed")
		counter(mExpired, t.Dialer.Expired, n)
	}
}

// histogram makes Prometheus's cumulative buckets, in seconds.
func histogram(d *prometheus.Desc, l proxy.Latencies, labels ...string) prometheus.Metric {
	buckets := map[float64]uint64{}
	count := uint64(0)
	for i, bound := range proxy.LatencyBounds {
		count += l.Buckets[i]
		buckets[bound.Seconds()] = count
	}
	return prometheus.MustNewConstHistogram(d, count+l.Buckets[len(proxy.LatencyBounds)], l.Sum.Seconds(), buckets, labels...)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
