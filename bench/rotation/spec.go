package main

import "time"

// spec is one (contestant, case) pair: all that a child process needs to know.
type spec struct {
	Table      string `json:"table"`
	Contestant string `json:"contestant"`
	Case       string `json:"case"`

	// Lifetime of the issuer's tokens. The issuer table's windows are scaled by Lifetime/20s.
	Lifetime time.Duration `json:"lifetime"`

	// Issuer table.
	Fault     string        `json:"fault,omitempty"`
	Placement string        `json:"placement,omitempty"`
	Window    time.Duration `json:"window,omitempty"`

	// Pool table.
	PoolSize  int           `json:"pool_size,omitempty"`
	Workers   int           `json:"workers,omitempty"`
	Pause     time.Duration `json:"pause,omitempty"` // of a worker between two commands
	Rotations int           `json:"rotations,omitempty"`
	Cycles    int           `json:"cycles,omitempty"`

	// Limit is the wall time after which the child counts as wedged.
	Limit time.Duration `json:"limit"`
}

// result is what a child counted. Which fields mean something depends on the case.
type result struct {
	OK      int64 `json:"ok"`
	Failed  int64 `json:"failed"`
	Blocked int64 `json:"blocked"` // calls that outlived their context by more than the slack
	// Dropped counts connections the server closed because their token had expired.
	Dropped uint64 `json:"dropped"`

	// Issuer table. Seconds since the load began; commands per second.
	FaultFrom  float64 `json:"fault_from,omitempty"`
	FaultTo    float64 `json:"fault_to,omitempty"`
	RateBefore float64 `json:"rate_before,omitempty"`
	RateAfter  float64 `json:"rate_after,omitempty"`
	Requests   int64   `json:"token_requests,omitempty"`

	// Pool table.
	P999      time.Duration `json:"p999,omitempty"`
	Max       time.Duration `json:"max,omitempty"`
	Rotations int           `json:"rotations,omitempty"`
	Dials     uint64        `json:"dials,omitempty"` // after the pool was warm
	Auths     uint64        `json:"auths,omitempty"` // after the pool was warm
	Lost      int64         `json:"lost,omitempty"`
	Repeated  int64         `json:"repeated,omitempty"`
	Warm      int           `json:"warm,omitempty"`
	Alive     int           `json:"alive,omitempty"`
	Reauthed  int           `json:"reauthed,omitempty"`
	HeapFrom  uint64        `json:"heap_from,omitempty"` // bytes
	HeapTo    uint64        `json:"heap_to,omitempty"`   // bytes

	FirstError string `json:"first_error,omitempty"`
}

// outcome is a row: a result, or the way the child ended without one.
type outcome struct {
	Spec   spec     `json:"spec"`
	Ours   bool     `json:"ours"`
	Status string   `json:"status"` // "done" "panic" "wedged" "error"
	Detail string   `json:"detail,omitempty"`
	Result *result  `json:"result,omitempty"`
	Misses []string `json:"misses,omitempty"` // bars not reached; only our rows are held to them
}

const (
	statusDone   = "done"
	statusPanic  = "panic"
	statusWedged = "wedged"
	statusError  = "error"
)
