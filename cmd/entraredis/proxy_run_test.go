package main

import (
	"runtime"
	"testing"
)

func TestSpareProcessors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the proxy has no loops here")
	}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct {
		has      int
		variable string
		want     int
	}{
		{1, "", 1},
		{2, "", 4},
		{3, "", 6},
		{3, "3", 3},
	} {
		runtime.GOMAXPROCS(tt.has)
		spareProcessors(func(name string) string { return map[string]string{"GOMAXPROCS": tt.variable}[name] })
		if got := runtime.GOMAXPROCS(0); got != tt.want {
			t.Errorf("%d, GOMAXPROCS=%q: got %d, want %d", tt.has, tt.variable, got, tt.want)
		}
	}
}
