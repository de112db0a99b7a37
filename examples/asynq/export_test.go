package essasynq

import "example.com/ess/lifecycle"

// Channel is where processes tell each other of cancels.
func (j *Jobs) Channel() string { return j.channel() }

// TaskID is the id of the task of a request.
func (j *Jobs) TaskID(id lifecycle.ID) string { return j.taskID(id) }

// Prefix is what the names of all keys begin with.
func (s *Store) Prefix() string { return s.opts.Prefix }
