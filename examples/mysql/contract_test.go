package mysql_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
)

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newHarness(open(t, newDatabase(t, server)), mysql.Schema))
}

// adverse are settings of a server that Open has to make good.
var adverse = map[string]string{
	"autocommit":                "0",
	"sql-mode":                  "",
	"character-set-server":      "latin1",
	"default-time-zone":         "+05:00",
	"transaction-isolation":     "REPEATABLE-READ",
	"innodb-snapshot-isolation": "ON",
	"max-allowed-packet":        "65536",
}

// What Open sets holds, whatever the server and the DSN say.
func TestContractOnAnyServer(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t, start(t, mariadb.Options{Fast: true, Settings: adverse}))
	canceltest.Run(t, newHarness(open(t, dsn+"?charset=utf8&parseTime=False&loc=Local&clientFoundRows=false"), mysql.Schema))
}
