//go:build !linux

package latency

import "time"

func pacing() {}

func pause(d time.Duration) { time.Sleep(d) }
