package etcd_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

func checkStates(t *testing.T, s *etcd.Store, want map[lifecycle.ID]lifecycle.State) {
	t.Helper()
	for id, state := range want {
		if r, err := s.Get(t.Context(), id); err != nil || r.ID != id || r.State != state {
			t.Errorf("request %d is %v, %v, want %v", id, r.State, err, state)
		}
	}
}

func put(t *testing.T, client *clientv3.Client, key, value string) {
	t.Helper()
	if _, err := client.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func keyOf(prefix, space string, parent, id lifecycle.ID) string {
	return fmt.Sprintf("%s%s/%019d/%019d", prefix, space, parent, id)
}

// A value that nobody can read is reported by the id of its key wherever it is met. Nothing
// above it ends, and nothing else has to wait for it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	client := connect(t)
	values := []string{
		"", "junk", "null", "{}", `{"id":3,"parent":1,"kind":"CHILD"}`,
		`{"id":3,"parent":1,"kind":"ROBOT","state":"WAIT"}`, `{"id":3,"parent":1,"kind":"CHILD","state":"FROZEN"}`,
		`{"id":3,"parent":1,"kind":"CHILD","state":null}`, `{"id":3,"parent":1,"kind":"CHILD","state":"CANCELLING","outcome":"PARTIAL"}`,
		`{"id":3,"parent":1,"kind":"CHILD","state":"CANCELLING","outcome":"RUNNING"}`, `{"id":3,"parent":1,"kind":"CHILD","state":"WAIT","outcome":"ERROR"}`,
		`{"id":3,"parent":1,"kind":"CHILD","state":"SUCCEEDED"}`, // which is not live, where its key says that it is
		`{"id":4,"parent":1,"kind":"CHILD","state":"WAIT"}`, `{"id":3,"parent":2,"kind":"CHILD","state":"WAIT"}`,
	}
	for i, value := range values {
		for name, wrap := range map[string]func(*etcd.Store) cancel.Repository{
			"capabilities":  func(s *etcd.Store) cancel.Repository { return s },
			"three methods": func(s *etcd.Store) cancel.Repository { return canceltest.Plain(s) },
		} {
			t.Run(value+" "+name, func(t *testing.T) {
				t.Parallel()
				prefix := newPrefix()
				s := etcd.New(client, prefix)
				state := lifecycle.StateRunning
				if i%2 == 1 {
					state = lifecycle.StateCancelling
				}
				if err := s.Insert(t.Context(),
					request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
					request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
					request(3, 1, lifecycle.KindChild, state),
					request(4, 1, lifecycle.KindChild, lifecycle.StateWait),
					request(5, 1, lifecycle.KindChild, lifecycle.StateRunning),
					request(10, 0, lifecycle.KindParent, lifecycle.StateRunning),
					request(11, 10, lifecycle.KindChild, lifecycle.StateWait)); err != nil {
					t.Fatal(err)
				}
				key := keyOf(prefix, "live", 1, 3)
				put(t, client, key, value)
				unreadable(t, s, wrap(s), state == lifecycle.StateCancelling)

				// Somebody mends the value.
				put(t, client, key, `{"id":3,"parent":1,"kind":"CHILD","state":"CANCELLING"}`)
				if _, err := cancel.New(wrap(s), nil).Acknowledge(t.Context(), cancel.Order{ID: 3}, lifecycle.StateSucceeded); err != nil {
					t.Error(err)
				}
				checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 3: lifecycle.StateSucceeded})
			})
		}
	}
}

// unreadable checks what becomes of a tree whose request 3 cannot be read.
func unreadable(t *testing.T, s *etcd.Store, repo cancel.Repository, cancelling bool) {
	t.Helper()
	ctx := t.Context()
	r, err := repo.Get(ctx, 3)
	if err != nil || r.ID != 3 || r.Parent != 1 || r.State != 0 {
		t.Errorf("Get(3) = %+v, %v, want its id, its parent and no state", r, err)
	}
	for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.SetOf(lifecycle.StateWait), lifecycle.Terminal} {
		page, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10})
		if err != nil || !slices.Contains(page, r) {
			t.Errorf("Children in %v = %v, %v, want request 3 without a state among them", states, page, err)
		}
	}
	listed, err := s.ListCancelling(ctx, 0, 10)
	if err != nil || len(listed) > 0 != cancelling || cancelling && listed[0].Request != r {
		t.Errorf("ListCancelling = %v, %v, want request 3 without a state only if it was CANCELLING, which is %v", listed, err, cancelling)
	}
	if made, err := s.Apply(ctx, []cancel.Change{{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled}}); err != nil || made[0] {
		t.Errorf("Apply to it = %v, %v, want it not made", made, err)
	}
	if err := s.Submit(ctx, request(20, 3, lifecycle.KindChild, lifecycle.StateWait)); !errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("Submit below it = %v", err)
	}

	c := cancel.New(repo, nil)
	if _, err := c.Cancel(ctx, cancel.Order{ID: 1}); err == nil || !strings.Contains(err.Error(), "request 3") {
		t.Errorf("Cancel of its parent = %v, want an error that names request 3", err)
	}
	if _, err := c.Fence(ctx, cancel.Order{ID: 10}); err != nil {
		t.Error(err)
	}
	if _, err := c.Resume(ctx, nil); err == nil || !strings.Contains(err.Error(), "request 3") {
		t.Errorf("Resume = %v, want an error that names request 3", err)
	}
	if _, err := c.Acknowledge(ctx, cancel.Order{ID: 5}, lifecycle.StateCancelled); err != nil {
		t.Error(err)
	}
	checkStates(t, s, map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelling, 2: lifecycle.StateCancelled, 4: lifecycle.StateCancelled, 5: lifecycle.StateCancelled,
		10: lifecycle.StateCancelled, 11: lifecycle.StateCancelled,
	})
	parent, err := s.Get(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.EndParent(ctx, cancel.Change{Old: parent, Trigger: lifecycle.TriggerSettle, State: lifecycle.StateCancelled})
	if made || err != nil {
		t.Errorf("EndParent above it = %v, %v, want it not made", made, err)
	}
}

// A key that is not that of a request is named in an error where it may stand for one, and
// the parent it is below does not end. It disturbs nobody else.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	client := connect(t)
	for _, key := range []string{"note", "\n2026/03/31 cancelled by root", "42", "9999999999999999999", "+000000000000000003", "0000000000000000003/x", ""} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			prefix := newPrefix()
			s := etcd.New(client, prefix)
			if err := s.Insert(t.Context(),
				request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
				request(2, 1, lifecycle.KindParent, lifecycle.StateRunning),
				request(3, 2, lifecycle.KindChild, lifecycle.StateWait),
				request(4, 1, lifecycle.KindParent, lifecycle.StateRunning),
				request(5, 4, lifecycle.KindChild, lifecycle.StateWait),
				request(10, 0, lifecycle.KindSingleton, lifecycle.StateCancelling)); err != nil {
				t.Fatal(err)
			}
			const value = `{"id":3,"parent":2,"kind":"CHILD","state":"CANCELLING"}`
			foreign := keyOf(prefix, "live", 2, 3)
			foreign = foreign[:len(foreign)-19] + key
			put(t, client, foreign, value)
			put(t, client, prefix+"cancelling/"+key, value)
			c := cancel.New(s, nil)
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", foreign)) {
				t.Errorf("Cancel = %v, want an error that names the key %q", err, foreign)
			}
			checkStates(t, s, map[lifecycle.ID]lifecycle.State{
				1: lifecycle.StateCancelling, 2: lifecycle.StateCancelling, 3: lifecycle.StateCancelled,
				4: lifecycle.StateCancelled, 5: lifecycle.StateCancelled,
			})
			listed, err := s.ListCancelling(t.Context(), 5, 1)
			if err != nil || len(listed) != 1 || listed[0].Request.ID != 10 {
				t.Errorf("ListCancelling = %v, %v, want request 10", listed, err)
			}

			// Somebody removes the key.
			if _, err := client.Delete(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Resume(t.Context(), nil); err != nil {
				t.Error(err)
			}
			checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 2: lifecycle.StateCancelled})
		})
	}
}

// No request has an id that is not positive, or one that is not there. None is dangerous.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	s := etcd.New(client, prefix)
	for _, id := range []lifecycle.ID{0, -1, -42, math.MinInt64 + 1, math.MinInt64, math.MaxInt64} {
		if r, err := s.Get(t.Context(), id); !errors.Is(err, cancel.ErrNotFound) {
			t.Errorf("Get(%d) = %v, %v, want not found", id, r, err)
		}
		if _, err := s.Cause(t.Context(), id); !errors.Is(err, cancel.ErrNotFound) {
			t.Errorf("Cause(%d) = %v, want not found", id, err)
		}
		if page, err := s.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live, Limit: 10}); err != nil || len(page) > 0 {
			t.Errorf("Children of %d = %v, %v", id, page, err)
		}
		if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: id}); !errors.Is(err, esserrors.CodeNotFound) {
			t.Errorf("Cancel of %d = %v, want not found", id, err)
		}
	}
	put(t, client, fmt.Sprintf("%sat/%019d", prefix, 7), "over there")
	if r, err := s.Get(t.Context(), 7); err != nil || r != (lifecycle.Request{ID: 7}) {
		t.Errorf("Get of a request whose parent cannot be read = %v, %v, want its id", r, err)
	}
	put(t, client, prefix+"last", "the last one\n")
	if _, err := s.NewIDs(t.Context(), 1); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("NewIDs after a text = %v", err)
	}
}

// Who comes to a request that has been deleted, with one of its keys or both, finds
// nothing, and does no harm.
func TestDeleted(t *testing.T) {
	t.Parallel()
	client := connect(t)
	for _, spaces := range [][]string{{"at", "live"}, {"at"}, {"live"}} {
		prefix := newPrefix()
		s := etcd.New(client, prefix)
		if err := s.Insert(t.Context(),
			request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
			request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
			request(3, 1, lifecycle.KindChild, lifecycle.StateWait)); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		gone, err := s.Get(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, space := range spaces {
			key := keyOf(prefix, space, 1, 2)
			if space == "at" {
				key = fmt.Sprintf("%sat/%019d", prefix, 2)
			}
			if _, err := client.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := s.Get(ctx, 2); !errors.Is(err, cancel.ErrNotFound) {
			t.Errorf("without %v: Get = %v, %v, want not found", spaces, r, err)
		}
		if err := s.Submit(ctx, request(4, 2, lifecycle.KindChild, lifecycle.StateWait)); !errors.Is(err, esserrors.CodeNotFound) {
			t.Errorf("without %v: Submit below it = %v, want not found", spaces, err)
		}
		if slices.Contains(spaces, "live") {
			ch := cancel.Change{Old: gone, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled}
			read := ch
			read.Old.Version = ""
			if made, err := s.Apply(ctx, []cancel.Change{ch}); err != nil || made[0] {
				t.Errorf("without %v: Apply = %v, %v, want it not made", spaces, made, err)
			}
			if made, err := s.Apply(ctx, []cancel.Change{read}); err != nil || made[0] {
				t.Errorf("without %v: Apply = %v, %v, want it not made", spaces, made, err)
			}
		}
		if _, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			t.Errorf("without %v: %v", spaces, err)
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 3: lifecycle.StateCancelled})
	}
}
