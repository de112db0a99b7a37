package service

import (
	"iter"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// offered are the media types of the specification, the preferred one first.
var offered = []string{"application/json", "application/vnd.oracle.resource+json"}

// mediaType returns the media type to answer r with, or "" if none of those offered is
// acceptable.
func mediaType(r *http.Request) string { return negotiate(field(r, "Accept")) }

// negotiate returns the media type that suits an Accept header best, or "" if none
// does. Parameters but q are passed over: clients of ESS send type=singular.
func negotiate(accept string) (best string) {
	if strings.TrimSpace(accept) == "" {
		return offered[0]
	}
	most := 0.0
	for _, media := range offered {
		if q := quality(accept, media); q > most {
			best, most = media, q
		}
	}
	return best
}

// weight is what q can be.
var weight = regexp.MustCompile(`^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$`)

// quality returns the q of the most specific range in accept that includes media,
// or 0 if none does. What cannot be understood is passed over.
func quality(accept, media string) (q float64) {
	family, _, _ := strings.Cut(media, "/")
	ranges, best := []string{"*/*", family + "/*", media}, 0
	for element := range elements(accept) {
		name, params, err := mime.ParseMediaType(element)
		text, weighted := params["q"]
		if err != nil || weighted && !weight.MatchString(text) {
			continue
		}
		v := 1.0
		if weighted {
			v, _ = strconv.ParseFloat(text, 64)
		}
		if i := slices.Index(ranges, name); i > best || i == best && v > q { // i is -1 if it is another's
			best, q = i, v
		}
	}
	return q
}

// elements returns the elements of a list, which commas separate that are not quoted.
func elements(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		from, quoted, escaped := 0, false, false
		for i, c := range []byte(list) {
			switch {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case c == ',' && !quoted:
				if !yield(list[from:i]) {
					return
				}
				from = i + 1
			}
		}
		yield(list[from:])
	}
}
