package main

import (
	"context"
	"encoding/json"
	"errors"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// problems makes an error of each kind, and shows it as a log and as a client
// get to see it.
func problems(ctx context.Context, out *screen) error {
	repo := new(memrepo.Repo)
	if err := repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateSucceeded},
		lifecycle.Request{ID: 2, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning},
	); err != nil {
		return err
	}
	var clock clock
	canceller := cancel.New(repo, &cancel.Options{Authorizer: cancel.AuthorizerFunc(operators), Now: clock.Now})
	broken := cancel.New(brokenStore{repo}, nil)

	out.announce("Each way to fail, as a log and as a client see it:")
	for i, example := range []struct {
		title string
		fail  func() error
	}{
		{"Cancelling a request that has ended", func() error {
			_, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann"})
			return err
		}},
		{"Cancelling what one may not", func() error {
			_, err := canceller.Cancel(ctx, cancel.Order{ID: 2, Actor: "bob"})
			return err
		}},
		{"Cancelling what is not there", func() error {
			_, err := canceller.Cancel(ctx, cancel.Order{ID: 3, Actor: "ann"})
			return err
		}},
		{"Forcing work that has just been cancelled", func() error {
			if _, err := canceller.Cancel(ctx, cancel.Order{ID: 2, Actor: "ann"}); err != nil {
				return err
			}
			_, err := canceller.Force(ctx, cancel.Order{ID: 2, Actor: "ann"})
			return err
		}},
		{"Cancelling while the store is down", func() error {
			_, err := broken.Cancel(ctx, cancel.Order{ID: 2, Actor: "ann"})
			return err
		}},
	} {
		err := example.fail()
		if ctx.Err() != nil {
			return err
		}
		document, jsonErr := json.MarshalIndent(esserrors.ProblemOf(err, nil), "            ", "  ")
		if jsonErr != nil {
			return jsonErr
		}
		if i > 0 {
			out.printf("\n")
		}
		out.printf("   %s\n   log:     %v\n   client:  %s\n", out.paint(bold, example.title), err, document)
	}
	return nil
}

// operators permits everything to ann, and nothing to anybody else.
func operators(_ context.Context, a cancel.Access) error {
	if a.Actor != "ann" {
		return errors.New("not on the list of operators")
	}
	return nil
}

// A brokenStore is a Repository that cannot be read.
type brokenStore struct{ cancel.Repository }

func (brokenStore) Get(context.Context, lifecycle.ID) (lifecycle.Request, error) {
	return lifecycle.Request{}, errors.New("dial tcp 10.1.2.3:5432: connection refused")
}
