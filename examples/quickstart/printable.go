package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isPrintable reports whether text does nothing to a terminal but show: it is
// valid UTF-8 without control characters, and without those that are not seen but
// change how others are, such as marks of the direction of writing.
func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) })
}

// printable returns text with everything escaped that is not printable, and cut
// off where it is too long to be read.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 && b.Len() < 1000 {
		c, size := utf8.DecodeRuneInString(text)
		if part := text[:size]; isPrintable(part) {
			b.WriteRune(c)
		} else {
			quoted := strconv.Quote(part)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	if text != "" {
		b.WriteString("…")
	}
	return b.String()
}

// short returns text quoted, and cut off if it is long.
func short(text string) string {
	most := 60 // bytes
	if len(text) <= most {
		return strconv.Quote(text)
	}
	for most > 56 && !utf8.RuneStart(text[most]) {
		most--
	}
	return strconv.Quote(text[:most]) + "…"
}
