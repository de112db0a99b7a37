package mariadb_test

import (
	"database/sql"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/examples/mysql/mariadb"
)

func TestServerSurvivesKill(t *testing.T) {
	if err := driver.SetLogger(&driver.NopLogger{}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	server, err := mariadb.Start(ctx, mariadb.Options{Settings: map[string]string{"max-connections": "10"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	db, err := sql.Open("mysql", server.DSN("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := db.PingContext(ctx); err == nil {
			t.Fatal("a connection survived the server's death")
		}
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		var answer int
		if err := db.QueryRowContext(ctx, "SELECT answer FROM kept").Scan(&answer); err != nil || answer != 42 {
			t.Fatalf("answer = %d, %v, want 42", answer, err)
		}
	}
}
