module example.com/ess/examples/linearizability

go 1.26.0

require (
	example.com/ess v0.0.0
	github.com/anishathalye/porcupine v1.3.1
)

require github.com/qmuntal/stateless v1.7.2 // indirect

replace example.com/ess => ../..
