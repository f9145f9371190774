package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the plot, in pixels.
const (
	labelWidth = 330
	unit       = 220 // of a ratio of 1
	widest     = 4.0 // the ratio at which a bar is cut off
	barHeight  = 13
)

var colors = map[string]string{
	plain: "#c7c7c7", haproxy: "#8da0cb", stunnel: "#b3b3b3", twemproxy: "#e5c494", bare: "#e78ac3",
	dedicated: "#fc8d62", shared: "#1b9e77", auto: "#66c2a5",
}

// plot draws the rates as bars, a line where direct TLS is.
func plot(tables []*table) string {
	var b strings.Builder
	y := 24
	for _, t := range tables {
		fmt.Fprintf(&b, "<text x=\"4\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, html.EscapeString(t.name))
		y += 6
		for _, name := range t.order {
			if !t.has(name) {
				continue
			}
			rate := t.row(name).rate
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", labelWidth-6, y+barHeight-3, name)
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\" fill=\"%s\"/>", labelWidth, y, min(rate, widest)*unit, barHeight-2, colors[name])
			fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%d\">%.2f</text>\n", labelWidth+min(rate, widest)*unit+4, y+barHeight-3, rate)
			y += barHeight
		}
		y += 22
	}
	width := labelWidth + int(widest*unit) + 60
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">
<rect width="100%%" height="100%%" fill="white"/>
%s<line x1="%d" x2="%[4]d" y1="10" y2="%[2]d" stroke="black" stroke-dasharray="3"/>
</svg>
`, width, y, b.String(), labelWidth+unit)
}
