module example.com/ess/examples/mysql

go 1.26.0

require (
	example.com/ess v0.0.0-00010101000000-000000000000
	github.com/go-sql-driver/mysql v1.10.1
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/qmuntal/stateless v1.7.2 // indirect
)

replace example.com/ess => ../..
