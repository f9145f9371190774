package entraredis_test

import (
	"fmt"
	"net"
	"strings"

	"github.com/entraredis/entraredis/internal/resp"
)

// waiting is a client that waits for a frame all the time, as clients do.
type waiting struct {
	s    *subject
	came chan struct{} // closed when text and err are set
	text string
	err  error
}

// waits has the next frame read beside the test.
func (s *subject) waits() *waiting {
	w := &waiting{s: s, came: make(chan struct{})}
	go func() {
		defer close(w.came)
		f, err := s.r.ReadFrame()
		w.text, w.err = string(f), err
	}()
	return w
}

func (w *waiting) want(reply string) {
	w.s.Helper()
	if <-w.came; w.err != nil || w.text != reply {
		w.s.Fatalf("got %q, %v, want %q", w.text, w.err, reply)
	}
}

// aside runs f beside the test. Its error ends the connection c, which would
// wait in vain for what f should have brought about; done returns it.
func (h *held) aside(c net.Conn, f func() error) (done func()) {
	result := make(chan error, 1)
	go func() {
		err := f()
		if err != nil {
			c.Close()
		}
		result <- err
	}()
	return func() {
		h.Helper()
		if err := <-result; err != nil {
			h.Error(err)
		}
	}
}

// exchange sends a command and compares the reply, for use beside the test.
func (s *subject) exchange(want string, words ...string) error {
	if _, err := s.Write(resp.AppendCommand(nil, words...)); err != nil {
		return fmt.Errorf("%v: %w", words, err)
	}
	f, err := s.r.ReadFrame()
	if err != nil || string(f) != want {
		return fmt.Errorf("%v: got %q, %v, want %q", words, f, err, want)
	}
	return nil
}

// The frames that the tests expect.

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func integer(n int) string { return fmt.Sprintf(":%d\r\n", n) }

func aggregate(kind byte, frames ...string) string {
	return fmt.Sprintf("%c%d\r\n%s", kind, len(frames), strings.Join(frames, ""))
}

func bulks(words ...string) string { return aggregate('*', bulksOf(words)...) }

// bulksOf returns each word as a frame.
func bulksOf(words []string) []string {
	frames := make([]string, len(words))
	for i, w := range words {
		frames[i] = bulk(w)
	}
	return frames
}
