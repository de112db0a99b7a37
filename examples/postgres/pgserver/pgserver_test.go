package pgserver_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres/pgserver"
)

func TestServerSurvivesKill(t *testing.T) {
	ctx := t.Context()
	server, err := pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{"max_connections": "10"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(ctx); err == nil {
			t.Fatal("a connection survived the server's death")
		}
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if conn, err = pgx.Connect(ctx, server.URL()); err != nil {
			t.Fatal(err)
		}
		var answer int
		if err := conn.QueryRow(ctx, "SELECT answer FROM kept").Scan(&answer); err != nil || answer != 42 {
			t.Fatalf("answer = %d, %v, want 42", answer, err)
		}
		conn.Close(ctx)
	}
}
