module example.com/ess

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/qmuntal/stateless v1.7.2
)
