package errors

// A Problem is the document that describes a failure to a client: the
// specification's SimpleExceptionDetail, which has the fields of RFC 9457
// (formerly RFC 7807) but for instance. Its field names in JSON are exactly the
// specification's.
type Problem struct {
	// Type is a URI that names the kind of problem. Required.
	Type string `json:"type"`
	// Title is a summary that does not change from one occurrence to the next.
	// Required.
	Title string `json:"title"`
	// Detail says what happened this time.
	Detail string `json:"detail,omitzero"`
	// Status is the HTTP status code.
	Status int `json:"status,omitzero"`
	// ErrorCode is the ESS error code, such as "ESS-00500".
	ErrorCode string `json:"errorCode,omitzero"`
}

// An Entry says how a [Problem] shows one code. A field left zero is taken from
// the default.
type Entry struct {
	Status    int    // HTTP status code
	ErrorCode string // ESS error code
	Title     string // summary of the kind of problem
	Type      string // URI of the kind of problem
}

// A Table says how problem documents show the codes. Codes that it lacks, and
// fields that it leaves zero, have the defaults; so a nil Table is the default
// table. A Table must not be changed while it is in use.
type Table map[Code]Entry

// The statuses and titles are the specification's responses. It asks for a link
// to the HTTP error code where there is no type of one's own.
var defaults = [numCodes]Entry{
	CodeUnsupportedState: {400, "ESS-00400", "Unsupported state for operation", "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.1"},
	CodeNotAuthorized:    {403, "ESS-00403", "Not authorized for this request", "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.4"},
	CodeNotFound:         {404, "ESS-00404", "Request ID not found", "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.5"},
	CodeConflict:         {409, "ESS-00409", "Conflict", "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.10"},
	CodeSystem:           {500, "ESS-00500", "Scheduling sub-system error", "https://www.rfc-editor.org/rfc/rfc9110#section-15.6.1"},
}

// Entry returns how t shows c, with the defaults filled in. It returns the entry
// of [CodeSystem] if c is not valid.
func (t Table) Entry(c Code) Entry {
	if !c.Valid() {
		c = CodeSystem
	}
	e, def := t[c], defaults[c]
	if e.Status == 0 {
		e.Status = def.Status
	}
	if e.ErrorCode == "" {
		e.ErrorCode = def.ErrorCode
	}
	if e.Title == "" {
		e.Title = def.Title
	}
	if e.Type == "" {
		e.Type = def.Type
	}
	return e
}

// ProblemOf returns the document that describes err, shown as table says; a nil
// table means the defaults. It returns the zero Problem if err is nil.
//
// The document is made of the code that [CodeOf] returns and the detail that
// belongs to it: causes, and the texts of errors that are not of this package,
// never show.
//
// The error of a caller whose own context ended is shown with [CodeSystem]. Such
// a caller has gone away and needs no document: check for it first.
func ProblemOf(err error, table Table) Problem {
	if err == nil {
		return Problem{}
	}
	e := decided(err)
	entry := table.Entry(e.Code)
	return Problem{Type: entry.Type, Title: entry.Title, Detail: e.Detail, Status: entry.Status, ErrorCode: entry.ErrorCode}
}
