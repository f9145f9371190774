package entraredis_test

import (
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

func BenchmarkSourceToken(b *testing.B) {
	s := benchSource(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Token(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSourceTokenParallel(b *testing.B) {
	s := benchSource(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Token(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchSource(b *testing.B) *entraredis.Source {
	b.Helper()
	s, err := entraredis.New(&scripted{life: time.Hour}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if _, err := s.Token(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s
}
