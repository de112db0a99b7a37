// Package essriver gives the jobs of [River] parents and children, and a cancel that
// reaches all of them.
//
// It works on River's own table. River goes on as before: it starts, retries, snoozes
// and completes jobs, and takes no notice of what this package keeps in their metadata. A
// job is a request of package lifecycle:
//
//	River        package lifecycle
//	scheduled    WAIT
//	available    READY
//	running      RUNNING
//	retryable    ERROR_AUTO_RETRY
//	pending      HOLD, or what the metadata says
//	completed    SUCCEEDED; WARNING or FINISHED if the metadata says so
//	cancelled    CANCELLED
//	discarded    ERROR; EXPIRED or VALIDATION_FAILED if the metadata says so
//
// A job that has not ended and has River's own mark of a cancel, cancel_attempted_at, in
// its metadata is CANCELLING. So a job that River's JobCancel has told to stop is
// CANCELLING too.
//
// River leaves pending jobs alone. That is where all that River has no word for is
// kept: a parent that is a mere container, with any state in the metadata; and a job that is
// BLOCKED, PAUSED, COMPLETED and so on, if the scheduler has such.
//
// [Jobs] is all that most programs need: it is a canceller, a middleware for River's
// workers, and the way to insert children. [Store] is the [cancel.Repository] below it.
//
// [River]: https://riverqueue.com
package essriver
