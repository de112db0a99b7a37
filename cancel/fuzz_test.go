package cancel_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"example.com/ess/cancel"
)

// FuzzText gives any text as actor and reason: what is kept fits every database, is kept as
// it is when it is given again, and begins as what was given.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "ann", "a\x00b\r\n\u0085", "\xff\xfe", strings.Repeat("ä", 600), strings.Repeat("x", 254) + "\xf0\x9f\x99\x82"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keeps := func(text string) cancel.Cause {
			repo := newRepo(t, "1 SINGLETON WAIT")
			_, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 1, Actor: text, Reason: text})
			must(t, err)
			cause, err := repo.Cause(t.Context(), 1)
			must(t, err)
			return cause
		}
		cause := keeps(text)
		for kept, most := range map[string]int{cause.Actor: cancel.MaxActor, cause.Reason: cancel.MaxReason} {
			if len(kept) > most || !utf8.ValidString(kept) || strings.ContainsFunc(kept, unicode.IsControl) {
				t.Errorf("%q is kept as %q", text, kept)
			}
			if whole := !strings.HasSuffix(kept, "…"); whole && utf8.RuneCountInString(kept) != utf8.RuneCountInString(text) {
				t.Errorf("%q is kept as %q, and does not say that it was cut off", text, kept)
			}
		}
		if again := keeps(cause.Reason); again.Reason != cause.Reason || again.Actor != cause.Actor {
			t.Errorf("%q is kept as %+v, and that as %+v", text, cause, again)
		}
	})
}
