// Package essasynq gives the tasks of asynq parents and children, and a cancel that reaches all of them.
package essasynq
