// Package essasynq gives the tasks of [asynq] parents and children, and a cancel that reaches all
// of them.
//
// Every task that [Jobs.Enqueue] submits has a request, which is a record in Redis beside asynq's
// own. The request decides: asynq may hand a task out as often as it likes, and the handler is
// called only if the request can be started. asynq itself is not changed, and its other tasks
// go on as before.
//
// # What a program does
//
//  1. It makes [Jobs] with [New] and puts [Jobs.Middleware] before its handlers.
//  2. It runs [Jobs.Run] beside each of asynq's servers.
//  3. It submits tasks with [Jobs.Enqueue], those whose handlers submit others with
//     [Jobs.EnqueueParent], and mere groups with [Jobs.Batch] and [Jobs.Complete].
//  4. It cancels with [Jobs.Cancel], in any process.
//  5. Its handlers return when their context ends, as asynq demands anyway.
//
// # What Redis has to do
//
// A request is compared and set by Lua scripts, which Redis runs one after the other. What it has
// answered lasts as long as its settings promise: see the README.
//
// [Store] is the [cancel.Repository] below. All of a tree is in one slot of a Redis Cluster.
//
// [asynq]: https://github.com/hibiken/asynq
package essasynq
