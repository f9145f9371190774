package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag of so many bytes, written as in redis.conf, or with the
// units of IEC. It has a least value, unless it is 0.
type byteSize struct {
	value, min int64
}

// sizeUnits has the largest first: String takes the first that fits.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"g", 1e9}, {"m", 1e6}, {"k", 1e3}, {"b", 1}, {"", 1},
}

func (s *byteSize) String() string {
	for _, u := range sizeUnits {
		if s.value > 0 && u.bytes > 1 && strings.HasSuffix(u.name, "iB") && s.value%u.bytes == 0 {
			return strconv.FormatInt(s.value/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(s.value, 10)
}

func (s *byteSize) Type() string { return "size" }

func (s *byteSize) Set(text string) error {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	n, err := strconv.ParseUint(number, 10, 63)
	for _, u := range sizeUnits {
		if err == nil && strings.EqualFold(text[len(number):], u.name) && n <= uint64(math.MaxInt64/u.bytes) {
			v := int64(n) * u.bytes
			if v != 0 && v < s.min {
				return fmt.Errorf("must be 0 or at least %s", &byteSize{value: s.min})
			}
			s.value = v
			return nil
		}
	}
	return fmt.Errorf("not a size such as 512MiB, 64kb or 1048576")
}
