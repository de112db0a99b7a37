package cancel_test

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// TestTextOfCallers gives an Actor and a Reason that a database may refuse.
func TestTextOfCallers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1<<20)
	for _, tt := range []struct{ name, given, actor, reason string }{
		{"plain", "ann", "ann", "ann"},
		{"other scripts", "安 – 🙂", "安 – 🙂", "安 – 🙂"},
		{"NUL", "a\x00b", "a b", "a b"},
		{"lines", "a\r\nb\tc\x1b[31m\u0085\u009b", "a  b c [31m  ", "a  b c [31m  "},
		{"not UTF-8", "a\xff\xfeb\xc3", "a\ufffd\ufffdb\ufffd", "a\ufffd\ufffdb\ufffd"},
		{"just short enough", strings.Repeat("x", 255), strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{"just too long for an actor", strings.Repeat("x", 256), strings.Repeat("x", 252) + "…", strings.Repeat("x", 256)},
		{"long", long, long[:252] + "…", long[:996] + "…"},
		{"long and bad", "\x00" + long, " " + long[:250] + "…", " " + long[:996] + "…"},
		{"long and not UTF-8", strings.Repeat("\xff", 1<<20), strings.Repeat("\ufffd", 84) + "…", strings.Repeat("\ufffd", 332) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING")
			var asked string
			var begun cancel.StartInfo
			told := &interrupts{}
			c := cancel.New(repo, &cancel.Options{
				Now:         clock,
				Interrupter: told,
				Authorizer:  cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error { asked = a.Actor; return nil }),
				Hooks:       cancel.Hooks{Start: func(ctx context.Context, i cancel.StartInfo) context.Context { begun = i; return ctx }},
			})
			_, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: tt.given, Reason: tt.given})
			must(t, err)
			want := cancel.Cause{Root: 1, Actor: tt.actor, Reason: tt.reason, Time: start}
			for id := lifecycle.ID(1); id <= 2; id++ {
				if cause, err := repo.Cause(t.Context(), id); err != nil || cause != want {
					t.Errorf("request %d keeps %q (%d bytes) and %q, %v", id, cause.Actor, len(cause.Actor), cause.Reason, err)
				}
			}
			if asked != tt.given {
				t.Error("the Authorizer was not asked about the actor as given")
			}
			if begun.Actor != tt.actor || begun.Reason != tt.reason || told.causes[0] != want {
				t.Errorf("the hooks were told %+v, the Interrupter %+v", begun, told.causes[0])
			}
			if len(want.Actor) > cancel.MaxActor || len(want.Reason) > cancel.MaxReason || !utf8.ValidString(want.Actor+want.Reason) {
				t.Errorf("%d and %d bytes are kept", len(want.Actor), len(want.Reason))
			}
		})
	}
}
