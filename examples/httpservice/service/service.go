package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A Store keeps the requests, and what the work of each is. [Memory] is one.
//
// The service takes every request that is executing for one whose work runs in its own
// process, or ran in an earlier one that is gone. So a store that outlives its process
// has to see to it that one process at a time serves it.
type Store interface {
	cancel.Repository
	// Submit stores the requests of a tree, all of them or none, with their jobs, and
	// returns the id of the topmost. The ids are such as no request has had before, nor
	// one that has been deleted since. If the tree has a parent, Submit asks it in the
	// same atomic step whether it admits a child, as [lifecycle.Admit] says.
	Submit(ctx context.Context, t *Tree) (lifecycle.ID, error)
	// Job returns the job of a request; the zero Job if it has none.
	Job(ctx context.Context, id lifecycle.ID) (Job, error)
}

// A config is what the flags say.
type config struct {
	operators []string      // who may change anything
	hosts     []string      // names of this service, besides localhost and addresses
	grace     time.Duration // how long forceCancel has to wait
	slots     int           // how many requests may run at once
	every     time.Duration // how often to look for what was left unfinished
	log       *slog.Logger  // nothing secret
	now       func() time.Time
}

// A service answers the calls of the clients.
type service struct {
	config
	store     Store
	jobs      *dispatcher
	canceller *cancel.Canceller
	mux       http.ServeMux
}

// What is authorized here besides the operations of the canceller.
const (
	opSubmit cancel.Op = "submit"
	opList   cancel.Op = "list overdue"
)

const (
	requests = "/ess/rest/scheduler/v1/requests"
	pageSize = 1000 // children in one answer
)

func newService(store Store, cfg config) *service {
	s := &service{config: cfg, store: store, jobs: newDispatcher(store, cfg)}
	s.canceller = cancel.New(store, &cancel.Options{
		Authorizer:  cancel.AuthorizerFunc(s.authorize),
		Interrupter: &s.jobs.workers,
		Hooks:       cancel.Hooks{End: s.ended},
		Grace:       cfg.grace,
		Now:         cfg.now,
	})
	s.jobs.canceller = s.canceller
	// Closed: what is not in this list is not found.
	s.handle("/", "", nil)
	s.handle("/health", http.MethodGet, s.health)
	s.handle("/overdue", http.MethodGet, s.overdue)
	s.handle(requests, http.MethodPost, s.submit)
	s.handle(requests+"/{requestId}", http.MethodGet, s.read, "after")
	s.handle(requests+"/{requestId}/cancel", http.MethodPost, s.order(cancel.OpCancel, s.canceller.Cancel))
	s.handle(requests+"/{requestId}/forceCancel", http.MethodPost, s.order(cancel.OpForce, s.canceller.Force))
	s.handle(requests+"/{requestId}/checkInCancelling", http.MethodPost, s.checkIn)
	return s
}

// authorize is closed by default. The header that the actor comes from is believed:
// let clients reach this service only through something that sets it.
func (s *service) authorize(_ context.Context, a cancel.Access) error {
	if a.Actor == "" || !slices.Contains(s.operators, a.Actor) {
		return fmt.Errorf("%q is not an operator", a.Actor)
	}
	return nil
}

// permitted asks authorize before anything of the body is waited for. (The canceller
// asks it again, before it writes.)
func (s *service) permitted(r *http.Request, op cancel.Op, id lifecycle.ID) error {
	err := s.authorize(r.Context(), cancel.Access{Op: op, ID: id, Actor: field(r, "X-Actor")})
	switch {
	case err == nil:
		return nil
	case id == 0:
		return &esserrors.Error{Code: esserrors.CodeNotAuthorized, Op: string(op), Detail: fmt.Sprintf("Not authorized to %s requests.", op), Err: err}
	default:
		return esserrors.NotAuthorized(string(op), int64(id), err)
	}
}

// ended is called at the end of every operation of the canceller.
func (s *service) ended(ctx context.Context, info cancel.EndInfo) {
	level := slog.LevelDebug // such as a Resume that changed nothing, or has failed, which the dispatcher reports
	ordered := info.Op == cancel.OpCancel || info.Op == cancel.OpForce
	if changed := info.Result.Counts.Total() - info.Result.Counts[cancel.DispositionAlreadyCancelling]; ordered || info.Err == nil && changed > 0 {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "ended", slog.Any("", info))
	if info.Err == nil {
		s.jobs.wake()
	}
}

// order returns the endpoint of an operation of the canceller.
func (s *service) order(op cancel.Op, do func(context.Context, cancel.Order) (cancel.Result, error)) endpoint {
	return func(_ http.Header, r *http.Request) (int, any, error) {
		id, err := s.bare(r, op)
		if err != nil {
			return 0, nil, err
		}
		result, err := do(r.Context(), cancel.Order{ID: id, Actor: field(r, "X-Actor"), Reason: field(r, "X-Reason")})
		if cutOff(r, err) && initiated(result.Root.Disposition) {
			err = nil // which is all that the answer says; Resume will complete it
		}
		return http.StatusOK, self(r, id), err
	}
}

// initiated reports whether so much of an operation is stored that [cancel.Canceller.Resume]
// will complete it.
func initiated(d cancel.Disposition) bool {
	return d != 0 && d != cancel.DispositionConflict && d != cancel.DispositionFailed
}

// bare returns the id of the request that r wants to do op to. It refuses a body: the
// operations have none, and whoever sends one expects something of it.
func (s *service) bare(r *http.Request, op cancel.Op) (lifecycle.ID, error) {
	id, err := parseID(r.PathValue("requestId"))
	if err == nil {
		err = s.permitted(r, op, id)
	}
	if err == nil {
		err = noBody(r)
	}
	if err == nil {
		err = unconditional(r)
	}
	return id, err
}

// checkIn answers whether the work of a request has to stop.
func (s *service) checkIn(_ http.Header, r *http.Request) (int, any, error) {
	id, err := s.bare(r, cancel.OpCheckIn)
	if err != nil {
		return 0, nil, err
	}
	in, err := s.canceller.CheckIn(r.Context(), cancel.Order{ID: id})
	return http.StatusOK, in.Cancelling, err
}

// A created is the answer to a submission.
type created struct {
	ID    lifecycle.ID `json:"id"`
	Links []link       `json:"links"`
}

// submit stores a tree of requests and has it run.
func (s *service) submit(h http.Header, r *http.Request) (int, any, error) {
	if err := s.permitted(r, opSubmit, 0); err != nil {
		return 0, nil, err
	}
	if t, _, err := mime.ParseMediaType(field(r, "Content-Type")); err != nil || !slices.Contains(offered, t) {
		h.Set("Accept", strings.Join(offered, ", "))
		return 0, nil, &refusal{http.StatusUnsupportedMediaType, "A tree of requests is " + strings.Join(offered, " or ") + "."}
	}
	if coding := field(r, "Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		h.Set("Accept-Encoding", "identity")
		return 0, nil, &refusal{http.StatusUnsupportedMediaType, "Send the tree as it is, without a Content-Encoding."}
	}
	body, err := wholeBody(r)
	if err != nil {
		return 0, nil, err
	}
	t, err := readTree(body)
	if err != nil {
		return 0, nil, err
	}
	if err := unconditional(r); err != nil {
		return 0, nil, err
	}
	id, err := s.store.Submit(r.Context(), t)
	if err != nil {
		return 0, nil, err
	}
	s.jobs.wake()
	at := self(r, id)
	h.Set("Location", at.Href)
	return http.StatusCreated, created{id, []link{at}}, nil
}

// Details are a request as clients see it.
type details struct {
	lifecycle.Request
	Cause    cancel.Cause `json:"cause,omitzero"` // of the cancel
	Links    []link       `json:"links"`
	Children []child      `json:"children,omitzero"`
}

type child struct {
	ID    lifecycle.ID    `json:"id"`
	State lifecycle.State `json:"state,omitzero"` // zero if the store cannot read it
	Href  string          `json:"href"`
}

// read answers with a request and the first of its children, or those after the one
// that the query names.
func (s *service) read(_ http.Header, r *http.Request) (int, any, error) {
	ctx := r.Context()
	id, err := parseID(r.PathValue("requestId"))
	if err != nil {
		return 0, nil, err
	}
	below := childrenOf(id, lifecycle.Live|lifecycle.Terminal)
	if after := r.URL.Query()["after"]; after != nil {
		below.After.Parent = id
		if below.After.ID, err = parseID(strings.Join(after, ",")); err != nil {
			return 0, nil, err
		}
	}
	d := details{Links: []link{self(r, id)}}
	if d.Request, err = s.store.Get(ctx, id); errors.Is(err, cancel.ErrNotFound) {
		return 0, nil, esserrors.NotFound("read", int64(id), err)
	} else if err == nil {
		err = d.Validate() // the store may be unable to read it
	}
	if err != nil {
		return 0, nil, err
	}
	if causes, ok := s.store.(cancel.CauseReader); ok {
		if d.Cause, err = causes.Cause(ctx, id); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return 0, nil, err
		}
	}
	for c, err := range cancel.Children(ctx, s.store, below) {
		if err != nil && c.ID == 0 {
			return 0, nil, err
		}
		if n := len(d.Children); n == pageSize {
			d.Links = append(d.Links, link{fmt.Sprintf("%s?after=%d", d.Links[0].Href, d.Children[n-1].ID), "next"})
			break
		}
		d.Children = append(d.Children, child{c.ID, c.State, self(r, c.ID).Href})
	}
	return http.StatusOK, d, nil
}

// A health says that the store answers and what the scheduler has to do at the moment.
// It is for everybody, and so costs one look into the store.
type health struct {
	Running int `json:"running"`
	Slots   int `json:"slots"`
}

func (s *service) health(_ http.Header, r *http.Request) (int, any, error) {
	if _, err := s.store.Get(r.Context(), 1); err != nil && !errors.Is(err, cancel.ErrNotFound) {
		return 0, nil, err
	}
	if !s.jobs.well(2 * s.every) {
		return 0, nil, &refusal{http.StatusServiceUnavailable, "The scheduler cannot go on everywhere. The log says why."}
	}
	return http.StatusOK, health{s.jobs.occupied(), s.slots}, nil
}

// overdue answers with the first requests whose work has been silent for so long that
// they can be forced.
func (s *service) overdue(_ http.Header, r *http.Request) (int, any, error) {
	if err := s.permitted(r, opList, 0); err != nil {
		return 0, nil, err
	}
	ids := []lifecycle.ID{}
	for u, err := range s.canceller.Overdue(r.Context()) {
		switch {
		case err != nil && u.Request.ID == 0:
			return 0, nil, err
		case err != nil:
			s.jobs.report(r.Context(), err)
		default:
			ids = append(ids, u.Request.ID)
		}
		if len(ids) == pageSize {
			break
		}
	}
	return http.StatusOK, map[string][]lifecycle.ID{"overdue": ids}, nil
}
