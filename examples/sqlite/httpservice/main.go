// Httpservice is the scheduler of examples/httpservice with its requests in a SQLite file:
// what has been accepted is there when it starts again. README.md shows a session.
//
//	go run ./httpservice -file requests.db -addr 127.0.0.1:8080 -operators ann
package main

import (
	"context"
	"flag"

	"example.com/ess/examples/httpservice/service"
)

func main() {
	file := flag.String("file", "requests.db", "keep the requests in this `file`")
	service.Main(func(ctx context.Context) (service.Store, error) { return open(ctx, *file) })
}
