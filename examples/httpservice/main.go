// Httpservice is a small scheduler with the REST operation that cancels a request:
//
//	POST /ess/rest/scheduler/v1/requests/{requestId}/cancel
//
// and beside it what one needs to try that. README.md shows a session.
//
//	go run ./examples/httpservice -addr 127.0.0.1:8080 -operators ann
//
// All of it is in package service. This program keeps the requests in memory and forgets
// them when it ends; the one in examples/sqlite/httpservice keeps them in a file.
package main

import (
	"context"

	"example.com/ess/examples/httpservice/service"
)

func main() {
	service.Main(func(context.Context) (service.Store, error) { return new(service.Memory), nil })
}
