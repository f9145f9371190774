package latency

import (
	"runtime"
	"syscall"
	"time"
)

// pacing makes pause as exact as the machine allows, for the goroutine that calls it. The runtime's own timers wake a program
// that has nothing else to do up to a millisecond late, which is more than a command takes. The goroutine calls end when it is done.
func pacing() (end func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

func pause(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // one that is interrupted is early: the caller looks at the clock
}
