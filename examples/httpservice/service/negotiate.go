package service

import (
	"mime"
	"slices"
	"strconv"
	"strings"
)

// offered are the media types of the specification, the preferred one first.
var offered = []string{"application/json", "application/vnd.oracle.resource+json"}

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

// quality returns the q of the most specific range in accept that includes media,
// or 0 if none does. What cannot be understood is passed over.
func quality(accept, media string) (q float64) {
	family, _, _ := strings.Cut(media, "/")
	ranges, best := []string{"*/*", family + "/*", media}, 0
	for element := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(element)
		i, v := slices.Index(ranges, name), 1.0
		if text, ok := params["q"]; ok && err == nil {
			v, err = strconv.ParseFloat(text, 64)
		}
		if err == nil && 0 <= v && v <= 1 && (i > best || i == best && v > q) { // i is -1 if it is another's
			best, q = i, v
		}
	}
	return q
}
