//go:build !linux

package main

import "time"

func pacing() {}

func pause(d time.Duration) { time.Sleep(d) }
