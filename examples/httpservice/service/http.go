package service

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

const maxBody = 1 << 20 // bytes of a tree that is submitted

// An endpoint answers the calls of one path and method. It may set header fields of its
// answer.
type endpoint func(http.Header, *http.Request) (status int, body any, err error)

// handle has e answer the calls of a path by a method, with no other parameters in the
// query than params. If e is nil, there is nothing at this path.
func (s *service) handle(path, method string, e endpoint, params ...string) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		status, body, err := 0, any(nil), s.admit(w.Header(), r, method, params)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			// A call that is cut off waits no longer for its body.
			stop := context.AfterFunc(r.Context(), func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now()) })
			defer stop()
			status, body, err = e(w.Header(), r)
		}
		s.reply(w, r, status, body, err)
	})
}

// ServeHTTP implements [http.Handler].
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.serves(r.Host) {
		s.reply(w, r, 0, nil, &refusal{http.StatusMisdirectedRequest, fmt.Sprintf("This is not %q.", r.Host)})
		return
	}
	s.mux.ServeHTTP(w, r)
}

// serves reports whether host names this service. A page of the web whose name has been
// made to mean this machine may call it, as its browser believes, in its own name, and
// read what is answered. An address, or localhost, nobody can have as a name.
func (s *service) serves(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	_, err = netip.ParseAddr(name)
	return err == nil || host == "" || // HTTP/1.0
		slices.ContainsFunc(s.hosts, func(h string) bool { return strings.EqualFold(name, h) })
}

// methods are those that RFC 9110 knows, and PATCH.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// admit refuses a call that is none of an endpoint.
func (s *service) admit(h http.Header, r *http.Request, method string, params []string) error {
	allowed := []string{method}
	if method == http.MethodGet {
		allowed = append(allowed, http.MethodHead)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case method == "":
		return &refusal{http.StatusNotFound, "There is nothing at this path."}
	case !slices.Contains(methods, r.Method):
		return &refusal{http.StatusNotImplemented, fmt.Sprintf("There is no method %q.", r.Method)}
	case !slices.Contains(allowed, r.Method):
		h.Set("Allow", strings.Join(allowed, ", "))
		return &refusal{http.StatusMethodNotAllowed, "Use " + method + "."}
	case mediaType(r) == "":
		return &refusal{http.StatusNotAcceptable, "Accept " + strings.Join(offered, " or ") + "."}
	case err != nil:
		return &refusal{http.StatusBadRequest, "The query cannot be read."}
	}
	for name := range query {
		if !slices.Contains(params, name) {
			return &refusal{http.StatusBadRequest, fmt.Sprintf("There is no parameter %q.", name)}
		}
	}
	return nil
}

// reply sends an answer, or the document that describes err.
func (s *service) reply(w http.ResponseWriter, r *http.Request, status int, body any, err error) {
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(body, "", "  ") // the store may have a request that cannot be
	}
	if err != nil {
		problem := problemOf(r, err)
		status = problem.Status
		text, _ = json.MarshalIndent(problem, "", "  ")
		if wait, ok := esserrors.RetryAfter(err); ok {
			w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(wait.Seconds()), 'f', 0, 64))
		}
		if status == http.StatusInternalServerError {
			s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "err", err)
		}
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close") // otherwise package http waits for the body first
		}
	}
	w.Header().Set("Content-Type", cmp.Or(mediaType(r), offered[0]))
	w.Header().Set("Vary", "Accept")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that has gone
}

// A refusal is a failure of HTTP, which the library has no code for.
type refusal struct {
	status int
	detail string
}

func (e *refusal) Error() string { return e.detail }

// cutOff reports whether err says that the call has been: its client has gone, or the
// service stops.
func cutOff(r *http.Request, err error) bool {
	return r.Context().Err() != nil && errors.Is(err, r.Context().Err())
}

// problemOf returns the document that describes err to the client of r.
func problemOf(r *http.Request, err error) esserrors.Problem {
	if cutOff(r, err) {
		err = &refusal{http.StatusServiceUnavailable, "The service stops and has cut off this call. It is not known to have changed anything: look, or call again, when the service is back."}
	}
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return esserrors.ProblemOf(err, nil)
	}
	// RFC 9110 has a section for each class and in it one for each status, in order; but
	// after 418 it leaves two out.
	class, number := refused.status/100, refused.status%100
	if class == 4 && number > 18 {
		number -= 2
	}
	return esserrors.Problem{
		Type:   fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc9110#section-15.%d.%d", class+1, number+1),
		Title:  http.StatusText(refused.status),
		Status: refused.status,
		Detail: refused.detail,
	}
}

// field returns a header field. Several lines of one name are one list, says RFC 9110:
// two actors are nobody, and not the first of them.
func field(r *http.Request, name string) string { return strings.Join(r.Header.Values(name), ", ") }

// unconditional refuses a call that is to change something only if it is as the client
// has seen it last.
func unconditional(r *http.Request) error {
	if r.Header["If-Match"] == nil {
		return nil
	}
	return &refusal{http.StatusPreconditionFailed, "Nothing here has an entity tag, so that none matches."}
}

// noBody refuses a body.
func noBody(r *http.Request) error {
	n, err := io.ReadFull(r.Body, make([]byte, 1))
	switch {
	case n > 0:
		return &refusal{http.StatusBadRequest, "There is no request body for this operation."}
	case err == io.EOF:
		return nil
	default:
		return unread(r, err)
	}
}

// wholeBody reads a body to its end.
func wholeBody(r *http.Request) (io.Reader, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, unread(r, err)
	}
	return bytes.NewReader(text), nil
}

// unread returns why a body could not be read. The text of err has addresses.
func unread(r *http.Request, err error) error {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("A tree has at most %d bytes.", maxBody)}
	case errors.Is(context.Cause(r.Context()), errStops):
		return r.Context().Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, "The body did not come in time."}
	default:
		return &refusal{http.StatusBadRequest, "The body cannot be read to its end."}
	}
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
	host := cmp.Or(r.Host, fmt.Sprint(r.Context().Value(http.LocalAddrContextKey))) // HTTP/1.0 needs none
	return link{fmt.Sprintf("%s://%s%s/%d", scheme, host, requests, id), "self"}
}
