package emulator

import "context"

// Tester is the part of *testing.T that [RunT] needs.
type Tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	Logf(format string, args ...any)
}

// RunT starts an emulator for a test and closes it when the test ends. At most
// one Options is given; a test cannot go on without an emulator, so an error
// is fatal to it.
func RunT(t Tester, o ...Options) *Emulator {
	t.Helper()
	var options Options
	switch len(o) {
	case 0:
	case 1:
		options = o[0]
	default:
		t.Fatalf("emulator: RunT takes one Options, not %d", len(o))
	}
	e, err := Start(context.Background(), options)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Logf("close emulator: %v", err)
		}
	})
	return e
}
