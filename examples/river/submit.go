package essriver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Container returns opts for a job that groups others and runs nothing itself. It is
// RUNNING in our words and pending in River's, so that River never starts it: its queue
// and kind do not matter, and need no worker. opts may be nil and is not changed.
func Container(opts *river.InsertOpts) (*river.InsertOpts, error) {
	opts, err := with(opts, note{Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	opts.Pending = true
	return opts, err
}

// WithChildren returns opts for a job that runs work of its own and has children. Its
// worker has to wait for them before it returns: River does not know of them, and would
// end the job before its children. opts may be nil and is not changed.
func WithChildren(opts *river.InsertOpts) (*river.InsertOpts, error) {
	return with(opts, note{Kind: lifecycle.KindSubrequestParent})
}

// admitSQL finds a parent if it admits a child, and keeps it from being changed until the
// transaction has ended. A cancel that is just making it CANCELLING is waited for; one that
// comes later waits, and then sees the child.
var admitSQL = `
SELECT j.id
FROM {schema}river_job j
WHERE j.id = @parent::bigint AND ` + kindSQL + ` IN (` + literals(parents) + `) AND ` + stateSQL + ` IN (` + states(lifecycle.Admitting) + `)
FOR SHARE`

func parents(yield func(lifecycle.Kind) bool) {
	for k := range lifecycle.Kinds() {
		if k.HasChildren() && !yield(k) {
			return
		}
	}
}

// Admit returns opts with which a job becomes a child of the parent, if that admits one
// (see [lifecycle.AdmitsChildren]), and keeps the parent from being cancelled until tx has
// ended. Give them to River's InsertTx, or InsertManyTx for any number of children, with the
// same tx. opts may be nil and is not changed.
//
// The error has [esserrors.CodeUnsupportedState] if the parent does not admit a child and
// [esserrors.CodeNotFound] if there is no such job.
func (s *Store) Admit(ctx context.Context, tx pgx.Tx, parent lifecycle.ID, opts *river.InsertOpts) (*river.InsertOpts, error) {
	var id lifecycle.ID
	err := tx.QueryRow(ctx, s.sql(admitSQL), pgx.NamedArgs{"parent": parent}).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, (&Store{db: tx, schema: s.schema}).refused(ctx, parent)
	}
	if err != nil {
		return nil, err
	}
	return with(opts, note{Parent: parent})
}

// refused returns the error for a parent that admits no child.
func (s *Store) refused(ctx context.Context, parent lifecycle.ID) error {
	p, err := s.Get(ctx, parent)
	switch {
	case errors.Is(err, cancel.ErrNotFound):
		return esserrors.NotFound("submit", int64(parent), err)
	case err != nil:
		return err
	default:
		return esserrors.UnsupportedState("submit", int64(parent), p.Kind.String(), p.State.String())
	}
}

// A note is what the metadata of a new job say for this package.
type note struct {
	Parent lifecycle.ID    `json:"parent,omitzero"`
	Kind   lifecycle.Kind  `json:"kind,omitzero"`
	State  lifecycle.State `json:"state,omitzero"`
}

// with returns a copy of opts with n in its metadata, beside what is there.
func with(opts *river.InsertOpts, n note) (*river.InsertOpts, error) {
	o := river.InsertOpts{}
	if opts != nil {
		o = *opts
	}
	var all struct { // what of the metadata is ours
		Note note `json:"ess"`
	}
	metadata := map[string]json.RawMessage{}
	if len(o.Metadata) > 0 {
		err := errors.Join(json.Unmarshal(o.Metadata, &metadata), json.Unmarshal(o.Metadata, &all))
		if err != nil {
			return &o, fmt.Errorf("essriver: metadata: %w", err)
		}
	}
	if n.Parent != 0 {
		all.Note.Parent = n.Parent
	}
	if n.Kind != 0 {
		all.Note.Kind, all.Note.State = n.Kind, n.State
	}
	var err error
	if metadata["ess"], err = json.Marshal(all.Note); err != nil {
		return &o, err
	}
	o.Metadata, err = json.Marshal(metadata)
	return &o, err
}
