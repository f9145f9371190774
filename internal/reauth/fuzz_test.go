package reauth_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/reauth"
)

// FuzzTracker feeds bytes of a broken or hostile client and server. Whatever
// they are, nothing panics, and without a command of ours the client sees the
// server's bytes as they came, up to a point where they are no RESP.
func FuzzTracker(f *testing.F) {
	f.Add([]byte("*1\r\n$5\r\nMULTI\r\nGET a\r\n*1\r\n$4\r\nEXEC\r\n"), []byte("+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"), byte(3), false)
	f.Add([]byte("CLIENT REPLY OFF\r\nSET a 1\r\nCLIENT REPLY ON\r\nGET a\r\n"), []byte("+OK\r\n$1\r\n1\r\n"), byte(5), true)
	f.Add([]byte("CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\n"), []byte("-NOPERM client\r\n+OK\r\n"), byte(1), true)
	f.Add([]byte("HELLO 3\r\nSUBSCRIBE a b\r\nUNSUBSCRIBE\r\n"), []byte("%0\r\n>3\r\n+subscribe\r\n+a\r\n:1\r\n>3\r\n+unsubscribe\r\n+a\r\n:0\r\n"), byte(9), true)
	f.Add([]byte("MONITOR\r\nRESET\r\nBLPOP a 0\r\n"), []byte("+OK\r\n+1.1 [0 x]\r\n+RESET\r\n*-1\r\n"), byte(7), false)
	f.Add([]byte("BLPOP a 0\r\nXREAD BLOCK 0 STREAMS s t $ $\r\nWAIT 1 0\r\n"), []byte("*-1\r\n*-1\r\n*0\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*0\r\n_\r\n*-1\r\n:0\r\n:1\r\n"), byte(128), true)
	f.Fuzz(func(t *testing.T, client, server []byte, pieces byte, inject bool) {
		chunk := int(pieces)%17 + 1
		size, ours := chunk, false
		tr := reauth.New()
		if pieces >= 128 {
			now := time.Unix(1e9, 0)
			tr.Block = func() (time.Time, time.Duration) {
				now = now.Add(time.Second)
				return now, time.Second
			}
		}
		var seen, sent []byte
		for len(client) > 0 || len(server) > 0 {
			for b := client[:min(size, len(client))]; len(b) > 0 || tr.Ready(); {
				step := tr.Client(b, inject)
				if step.Send < 0 || step.Send > len(b) || step.Skip < 0 || step.Send+step.Skip > len(b) ||
					len(b) > 0 && step.Send+step.Skip == 0 && !step.Auth && !step.Hold && step.Insert == nil {
					t.Fatalf("%d bytes: got %+v", len(b), step)
				}
				ours = ours || step.Insert != nil
				if step.Auth && inject {
					tr.Injected()
				}
				b, client = b[step.Send+step.Skip:], client[step.Send+step.Skip:]
				if step.Hold {
					size += chunk
					if len(b) == len(client) && len(server) == 0 {
						client = nil
					}
					break
				}
				size = chunk
			}
			b := server[:min(chunk, len(server))]
			server = server[len(b):]
			for len(b) > 0 {
				n, v, err := tr.Server(b)
				if n < 0 || n > len(b) || n == 0 && err == nil {
					t.Fatalf("Server took %d of %d bytes", n, len(b))
				}
				seen = append(seen, tr.TakeHeld()...)
				if v == reauth.Pass {
					seen = append(seen, b[:n]...)
				}
				sent = append(sent, b[:n]...)
				if !inject && !ours && !bytes.HasPrefix(sent, seen) {
					t.Fatalf("the server sent %q, the client saw %q", sent, seen)
				}
				if err != nil {
					return
				}
				b = b[n:]
			}
			for {
				if _, ok := tr.TakeAnswer(); !ok {
					break
				}
			}
		}
		if !inject && !ours && len(sent)-len(seen) > 4<<10 {
			t.Fatalf("%d bytes are held back", len(sent)-len(seen))
		}
	})
}
