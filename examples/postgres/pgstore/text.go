package pgstore

import (
	"context"
	"strconv"

	"example.com/ess/cancel"
)

// WithTexts is [Retry] for statements that keep a cause. As long as the database refuses
// the texts in it, f is called again with plainer ones: who cancels something must not
// fail because of why. The database may lack a character in its encoding, or room in a
// column. In a transaction of the caller's an error has ended all of it.
func WithTexts(ctx context.Context, db DB, f func(text func(cancel.Cause) cancel.Cause) error) (err error) {
	for _, text := range []func(string) string{asGiven, inASCII, empty} {
		err = Retry(ctx, db, func() error {
			return f(func(c cancel.Cause) cancel.Cause {
				c.Actor, c.Reason = text(c.Actor), text(c.Reason)
				return c
			})
		})
		if !refusesText(err) || InTransaction(db) {
			break
		}
	}
	return err
}

func asGiven(s string) string { return s }

// inASCII returns s with \u00e9 for é.
func inASCII(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

func empty(string) string { return "" }

// refusesText reports whether the database does not take a text.
func refusesText(err error) bool {
	switch sqlState(err) {
	case "22P05", // untranslatable_character
		"22021", // character_not_in_repertoire
		"22001": // string_data_right_truncation
		return true
	default:
		return false
	}
}
