package main

import "testing"

func TestByteSize(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  int64 // -1: an error
		shown string
	}{
		{"0", 0, "0"},
		{"1024", 1 << 10, "1KiB"},
		{"1500", 1500, "1500"},
		{"64kb", 64 << 10, "64KiB"},
		{"64KB", 64 << 10, "64KiB"},
		{"64k", 64000, "64000"},
		{"512MiB", 512 << 20, "512MiB"},
		{"512mib", 512 << 20, "512MiB"},
		{"1536mb", 1536 << 20, "1536MiB"},
		{"2gb", 2 << 30, "2GiB"},
		{"1g", 1e9, "1000000000"},
		{"2048b", 2048, "2KiB"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
		{"8589934592GiB", -1, ""},
		{"9223372036854775808", -1, ""},
		{"1023", -1, ""},
		{"", -1, ""},
		{"-1", -1, ""},
		{"MiB", -1, ""},
		{"1.5MiB", -1, ""},
		{"1 MiB", -1, ""},
		{"1TiB", -1, ""},
	} {
		s := byteSize{min: 1 << 10}
		switch err := s.Set(tt.text); {
		case (err != nil) != (tt.want < 0):
			t.Errorf("%q: got %v", tt.text, err)
		case err == nil && (s.value != tt.want || s.String() != tt.shown):
			t.Errorf("%q: got %d, shown as %s, want %d, %s", tt.text, s.value, &s, tt.want, tt.shown)
		}
		again := byteSize{}
		if err := again.Set(s.String()); err != nil || again.value != s.value {
			t.Errorf("%q: %s is read as %d, %v", tt.text, &s, again.value, err)
		}
	}
}
