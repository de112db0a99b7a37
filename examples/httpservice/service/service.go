package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A Store keeps the requests. memrepo.Repo is one.
type Store interface {
	cancel.Repository
	// Submit inserts a request if its parent, should it have one, admits a child.
	Submit(ctx context.Context, r lifecycle.Request) error
}

// A config is what the flags say.
type config struct {
	operators []string      // who may change anything
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

const (
	requests = "/ess/rest/scheduler/v1/requests"
	pageSize = 1000    // children in one answer
	maxBody  = 1 << 20 // bytes of a tree that is submitted
)

func newService(ctx context.Context, repo Store, cfg config) (*service, error) {
	s := &service{config: cfg, store: repo, jobs: &dispatcher{store: repo, config: cfg}}
	s.canceller = cancel.New(repo, &cancel.Options{
		Authorizer:  cancel.AuthorizerFunc(s.authorize),
		Interrupter: &s.jobs.workers,
		Hooks:       cancel.Hooks{End: s.ended},
		Grace:       cfg.grace,
		Now:         cfg.now,
	})
	// Closed: what is not in this list is not found.
	s.handle("/", "", func(*http.Request) (int, any, error) {
		return 0, nil, &refusal{http.StatusNotFound, "There is nothing at this path."}
	})
	s.handle("/health", http.MethodGet, s.health)
	s.handle(requests, http.MethodPost, s.submit)
	s.handle(requests+"/{requestId}", http.MethodGet, s.read)
	s.handle(requests+"/{requestId}/cancel", http.MethodPost, s.order(s.canceller.Cancel))
	s.handle(requests+"/{requestId}/forceCancel", http.MethodPost, s.order(s.canceller.Force))
	s.handle(requests+"/{requestId}/checkInCancelling", http.MethodPost, s.checkIn)
	return s, s.jobs.init(ctx, s.canceller)
}

// authorize is closed by default. The header that the actor comes from is believed:
// let clients reach this service only through something that sets it.
func (s *service) authorize(_ context.Context, a cancel.Access) error {
	if a.Actor == "" || !slices.Contains(s.operators, a.Actor) {
		return fmt.Errorf("%q is not an operator", a.Actor)
	}
	return nil
}

// ended is called at the end of every operation of the canceller.
func (s *service) ended(ctx context.Context, info cancel.EndInfo) {
	level := slog.LevelInfo // who gets the error knows whether it is one for the log
	if info.Err == nil && info.Result.Counts.Total() == 0 {
		level = slog.LevelDebug // a check-in, or a Resume that found nothing
	}
	s.log.Log(ctx, level, "ended", slog.Any("", info))
	if info.Err == nil {
		s.jobs.wake()
	}
}

// order returns the endpoint of an operation of the canceller.
func (s *service) order(do func(context.Context, cancel.Order) (cancel.Result, error)) endpoint {
	return func(r *http.Request) (int, any, error) {
		id, err := bare(r)
		if err == nil {
			_, err = do(r.Context(), cancel.Order{ID: id, Actor: actor(r), Reason: r.Header.Get("X-Reason")})
		}
		return http.StatusOK, self(r, id), err
	}
}

func actor(r *http.Request) string { return r.Header.Get("X-Actor") }

// checkIn answers whether the work of a request has to stop.
func (s *service) checkIn(r *http.Request) (int, any, error) {
	id, err := bare(r)
	if err != nil {
		return 0, nil, err
	}
	const op = cancel.OpCheckIn
	if err := s.authorize(r.Context(), cancel.Access{Op: op, ID: id, Actor: actor(r)}); err != nil {
		return 0, nil, esserrors.NotAuthorized(string(op), int64(id), err)
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
func (s *service) submit(r *http.Request) (int, any, error) {
	if err := s.authorize(r.Context(), cancel.Access{Op: "submit", Actor: actor(r)}); err != nil {
		return 0, nil, &esserrors.Error{Code: esserrors.CodeNotAuthorized, Op: "submit", Detail: "Not authorized to submit requests.", Err: err}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !slices.Contains(offered, t) {
		return 0, nil, &refusal{http.StatusUnsupportedMediaType, "A tree of requests is " + strings.Join(offered, " or ") + "."}
	}
	t, err := readTree(r.Body)
	if err != nil {
		return 0, nil, err
	}
	// A client that goes away now does not leave half a tree behind.
	id, err := s.jobs.submit(context.WithoutCancel(r.Context()), t)
	return http.StatusCreated, created{id, []link{self(r, id)}}, err
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
	State lifecycle.State `json:"state"`
	Href  string          `json:"href"`
}

// read answers with a request and the first of its children, or those after the one
// that the query names.
func (s *service) read(r *http.Request) (int, any, error) {
	ctx := r.Context()
	id, err := parseID(r.PathValue("requestId"))
	if err != nil {
		return 0, nil, err
	}
	after, err := parseID(cmp.Or(r.URL.Query().Get("after"), "0"))
	if err != nil {
		return 0, nil, err
	}
	d := details{Links: []link{self(r, id)}}
	if d.Request, err = s.store.Get(ctx, id); errors.Is(err, cancel.ErrNotFound) {
		return 0, nil, esserrors.NotFound("read", int64(id), err)
	} else if err != nil {
		return 0, nil, err
	}
	if causes, ok := s.store.(cancel.CauseReader); ok {
		if d.Cause, err = causes.Cause(ctx, id); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return 0, nil, err
		}
	}
	below := childrenOf(id, lifecycle.Live|lifecycle.Terminal)
	below.After = cancel.Cursor{Parent: id, ID: after}
	for c, err := range cancel.Children(ctx, s.store, below) {
		if err != nil {
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

// A health says how many requests there are in each state, and whose work has been
// silent for so long that they can be forced.
type health struct {
	States  map[lifecycle.State]int `json:"states"`
	Overdue []lifecycle.ID          `json:"overdue"`
}

func (s *service) health(r *http.Request) (int, any, error) {
	h := health{map[lifecycle.State]int{}, []lifecycle.ID{}}
	if err := each(r.Context(), s.store, 0, func(r lifecycle.Request) { h.States[r.State]++ }); err != nil {
		return 0, nil, err
	}
	for u, err := range s.canceller.Overdue(r.Context()) {
		if err != nil {
			return 0, nil, err
		}
		h.Overdue = append(h.Overdue, u.Request.ID)
	}
	return http.StatusOK, h, nil
}

// A link is the link of the specification.
type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// self returns the link to a request, as the client of r has to call it.
func self(r *http.Request, id lifecycle.ID) link {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host := r.Host
	if host == "" { // HTTP/1.0
		host = fmt.Sprint(r.Context().Value(http.LocalAddrContextKey))
	}
	return link{fmt.Sprintf("%s://%s%s/%d", scheme, host, requests, id), "self"}
}

// bare returns the id of the request that r is about. It refuses a body: the
// operation has none, and whoever sends one expects something of it.
func bare(r *http.Request) (lifecycle.ID, error) {
	id, err := parseID(r.PathValue("requestId"))
	if err != nil {
		return 0, err
	}
	if n, err := r.Body.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return 0, &refusal{http.StatusBadRequest, "There is no request body for this operation."}
	}
	return id, nil
}

// parseID takes an id as it is printed. That there is no such request, as for 0 or -1,
// is for others to say.
func parseID(text string) (lifecycle.ID, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(id, 10) != text {
		return 0, &refusal{http.StatusBadRequest, fmt.Sprintf("%q is not a request id: integer (int64).", text)}
	}
	return lifecycle.ID(id), nil
}

// A refusal is a failure of HTTP, which the library has no code for.
type refusal struct {
	status int
	detail string
}

func (e *refusal) Error() string { return e.detail }

// problemOf returns the document that describes err to the client of r.
func problemOf(r *http.Request, err error) esserrors.Problem {
	if r.Context().Err() != nil && errors.Is(err, r.Context().Err()) {
		// The client has gone, or the service stops and has cut off the call.
		err = &refusal{http.StatusServiceUnavailable, "The call was cut off. What it has begun will be completed."}
	}
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return esserrors.ProblemOf(err, nil)
	}
	class := refused.status / 100 // RFC 9110 has a section for each class and in it one for each status
	return esserrors.Problem{
		Type:   fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc9110#section-15.%d.%d", class+1, refused.status%100+1),
		Title:  http.StatusText(refused.status),
		Status: refused.status,
		Detail: refused.detail,
	}
}

// An endpoint answers the calls of one path and method.
type endpoint func(*http.Request) (status int, body any, err error)

// handle has e answer the calls of a path by a method, or by any if method is empty.
func (s *service) handle(path, method string, e endpoint) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		var status int
		var body any
		var err error
		media := negotiate(strings.Join(r.Header.Values("Accept"), ","))
		switch isHead := method == http.MethodGet && r.Method == http.MethodHead; {
		case method != "" && r.Method != method && !isHead:
			w.Header().Set("Allow", method)
			err = &refusal{http.StatusMethodNotAllowed, "Use " + method + "."}
		case media == "":
			err = &refusal{http.StatusNotAcceptable, "Accept " + strings.Join(offered, " or ") + "."}
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			status, body, err = e(r)
		}
		if err != nil {
			problem := problemOf(r, err)
			status, body = problem.Status, problem
			if wait, ok := esserrors.RetryAfter(err); ok {
				w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(wait.Seconds()), 'f', 0, 64))
			}
			if status == http.StatusInternalServerError {
				s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "err", err)
			}
		}
		text, err := json.MarshalIndent(body, "", "  ")
		if err != nil { // the store has a request that cannot be
			s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "err", err)
			problem := problemOf(r, err)
			status = problem.Status
			text, _ = json.MarshalIndent(problem, "", "  ")
		}
		w.Header().Set("Content-Type", cmp.Or(media, offered[0]))
		w.Header().Set("Vary", "Accept")
		w.WriteHeader(status)
		_, _ = w.Write(append(text, '\n')) // a client that has gone
	})
}
