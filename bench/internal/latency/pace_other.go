//go:build !linux

package latency

import "time"

func pacing() (end func()) { return func() {} }

func pause(d time.Duration) { time.Sleep(d) }
