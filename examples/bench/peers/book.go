package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// A book is a store in a database, read over a connection of its own. The ids in the
// statements are made by this program.
type book struct{ db *sql.DB }

func openPostgresBook(ctx context.Context, url string) (book, error) {
	return openBook(ctx, "pgx", url)
}

// openSQLiteBook opens a file that may be read only, and waits for nobody who writes it.
func openSQLiteBook(ctx context.Context, path string) (book, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=query_only(1)&_pragma=busy_timeout(10000)"}
	return openBook(ctx, "sqlite", u.String())
}

func openBook(ctx context.Context, driver, name string) (book, error) {
	db, err := sql.Open(driver, name)
	if err != nil {
		return book{}, err
	}
	db.SetMaxOpenConns(1)
	return book{db}, db.PingContext(ctx)
}

// any reports whether the statement has a row.
func (b book) any(ctx context.Context, statement string) (bool, error) {
	var found bool
	err := b.db.QueryRowContext(ctx, "SELECT EXISTS ("+statement+")").Scan(&found)
	return found, err
}

// number returns the one number that the statement has.
func (b book) number(ctx context.Context, statement string) (n int, err error) {
	err = b.db.QueryRowContext(ctx, statement).Scan(&n)
	return n, err
}

// text returns the one text that the statement has, or "gone".
func (b book) text(ctx context.Context, statement string) (s string, err error) {
	err = b.db.QueryRowContext(ctx, statement).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return "gone", nil
	}
	return s, err
}

// census makes a census of rows of a table: is tells the root from the others.
func (b book) census(ctx context.Context, table, state, is, where string) (c census, err error) {
	c.Below = map[string]int{}
	rows, err := b.db.QueryContext(ctx, fmt.Sprintf("SELECT s, r, count(*) FROM (SELECT %s AS s, CASE WHEN %s THEN 1 ELSE 0 END AS r FROM %s WHERE %s) AS t GROUP BY s, r", state, is, table, where))
	if err != nil {
		return c, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		var root bool
		var n int
		if err := rows.Scan(&s, &root, &n); err != nil {
			return c, err
		}
		if root {
			c.Root = s
		} else {
			c.Below[s] = n
		}
	}
	return c, rows.Err()
}
