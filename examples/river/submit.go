package essriver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// Container returns opts for a job that groups others and runs nothing itself. It is
// RUNNING in our words and pending in River's, so that River never starts it, whatever its
// queue. A client inserts only jobs of a kind that it knows: see [NoWork]. opts may be nil and
// is not changed.
func Container(opts *river.InsertOpts) *river.InsertOpts {
	opts = with(opts, note{Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	opts.Pending = true
	return opts
}

// NoWork is a worker for a kind of containers. It is never called.
type NoWork[T river.JobArgs] struct{ river.WorkerDefaults[T] }

// Work implements [river.Worker].
func (NoWork[T]) Work(context.Context, *river.Job[T]) error {
	return errors.New("essriver: a container has no work")
}

// WithChildren returns opts for a job that runs work of its own and has children. Its
// worker has to wait for them before it returns: River does not know of them, and would
// end the job before its children. opts may be nil and is not changed.
func WithChildren(opts *river.InsertOpts) *river.InsertOpts {
	return with(opts, note{Kind: lifecycle.KindSubrequestParent})
}

// admitSQL finds a parent if it admits a child, and keeps it from being changed until the
// transaction has ended. A cancel that is just making it CANCELLING is waited for; one that
// comes later waits, and then sees the child.
var admitSQL = `
SELECT j.id
FROM {schema}river_job j
WHERE ` + turn.Enter + ` AND j.id = @parent::bigint
  AND ` + kindSQL + ` IN (` + pgstore.Literals(pgstore.Parents) + `) AND ` + stateSQL + ` IN (` + pgstore.States(lifecycle.Admitting) + `)
FOR SHARE OF j`

// Admit returns opts with which a job becomes a child of the parent, if that admits one
// (see [lifecycle.AdmitsChildren]), and keeps the parent from being cancelled until tx has
// ended. Give them to River's InsertTx, or InsertManyTx for any number of children, with the
// same tx. opts may be nil and is not changed. Metadata in it that are not a JSON object make
// River's insert fail.
//
// The error has [example.com/ess/errors.CodeUnsupportedState] if the parent does not admit a
// child and [example.com/ess/errors.CodeNotFound] if there is no such job.
func (s *Store) Admit(ctx context.Context, tx pgx.Tx, parent lifecycle.ID, opts *river.InsertOpts) (*river.InsertOpts, error) {
	var id lifecycle.ID
	err := tx.QueryRow(ctx, s.sql(admitSQL), pgx.NamedArgs{"parent": parent}).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		p, err := pgstore.Get(ctx, tx, s.sql(getSQL), parent)
		return nil, pgstore.Refused(parent, p, err)
	}
	if err != nil {
		return nil, err
	}
	return with(opts, note{Parent: parent}), nil
}

// A note is what the metadata of a new job say for this package.
type note struct {
	Parent lifecycle.ID    `json:"parent,omitzero"`
	Kind   lifecycle.Kind  `json:"kind,omitzero"`
	State  lifecycle.State `json:"state,omitzero"`
}

// with returns a copy of opts with n in its metadata, beside what is there. If that is not a
// JSON object it spoils it entirely, lest River insert a job that is not what was asked for.
func with(opts *river.InsertOpts, n note) *river.InsertOpts {
	o := river.InsertOpts{}
	if opts != nil {
		o = *opts
	}
	var ours struct {
		Note note `json:"ess"`
	}
	all := map[string]any{}
	if len(o.Metadata) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(o.Metadata))
		decoder.UseNumber()
		err := errors.Join(decoder.Decode(&all), json.Unmarshal(o.Metadata, &ours))
		if err != nil {
			o.Metadata = fmt.Appendf(nil, "not an object: %s", o.Metadata)
			return &o
		}
	}
	if n.Parent != 0 {
		ours.Note.Parent = n.Parent
	}
	if n.Kind != 0 {
		ours.Note.Kind, ours.Note.State = n.Kind, n.State
	}
	all["ess"] = ours.Note
	o.Metadata, _ = json.Marshal(all) // it was JSON before
	return &o
}
